//! Random numbers for crates that ask getrandom for them: `rand`, `uuid`, and many others.
//!
//! The target has no operating system, and so getrandom leaves it to one crate of a program to say where random numbers
//! come from. `sandbus build` sets `--cfg getrandom_backend="custom"`, which makes this the crate.

#![allow(unsafe_code, reason = "getrandom finds its source by the name of a function")]

use crate::host;

getrandom_02::register_custom_getrandom!(fill_02);

fn fill_02(bytes: &mut [u8]) -> Result<(), getrandom_02::Error> {
    fill(bytes);
    Ok(())
}

/// The source of getrandom 0.3 and 0.4, which share the name.
///
/// # Safety
/// `bytes` is valid for writes of `count` bytes.
// SAFETY: getrandom demands this name, and documents that one crate defines it.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(bytes: *mut u8, count: usize) -> Result<(), getrandom::Error> {
    // SAFETY: the caller's word, above. What is not initialised yet is written before it is made a slice of.
    let bytes = unsafe {
        std::ptr::write_bytes(bytes, 0, count);
        std::slice::from_raw_parts_mut(bytes, count)
    };
    fill(bytes);
    Ok(())
}

fn fill(bytes: &mut [u8]) {
    /// How many bytes the host gives at a time.
    const AT_ONCE: usize = 4 << 10;
    for chunk in bytes.chunks_mut(AT_ONCE) {
        chunk.copy_from_slice(&host::random_bytes(chunk.len()));
    }
}
