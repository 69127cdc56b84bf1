//! The source of random numbers for getrandom, and so for `rand`, `uuid` and many other crates.
//!
//! The target has no operating system, and getrandom expects one crate of the program to define the source. `sandbus
//! build` sets `--cfg getrandom_backend="custom"`, which makes this crate define it.

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
    // SAFETY: the caller promises that the bytes are valid for writes; they are initialised before the slice is made.
    let bytes = unsafe {
        std::ptr::write_bytes(bytes, 0, count);
        std::slice::from_raw_parts_mut(bytes, count)
    };
    fill(bytes);
    Ok(())
}

fn fill(bytes: &mut [u8]) {
    /// The most bytes that the host returns in one call.
    const AT_ONCE: usize = 4 << 10;
    for chunk in bytes.chunks_mut(AT_ONCE) {
        chunk.copy_from_slice(&host::random_bytes(chunk.len()));
    }
}
