//! Checks the outline of a file: its first bytes, and the headers of its sections.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

use super::ScreeningError;

/// Checks the first bytes of a file, and that its sections fill it exactly, without reading their content. The inner
/// error is what is wrong with the file.
pub(crate) fn check_outline(file: &File, length: u64) -> io::Result<Result<(), ScreeningError>> {
    const HEAD: usize = 512;
    const HEADER: u64 = 8;
    let mut file = BufReader::new(file);
    let head = file.fill_buf()?;
    if let Err(unsuitable) = check_magic(&head[..head.len().min(HEAD)]) {
        return Ok(Err(unsuitable));
    }
    file.seek_relative(HEADER.cast_signed())?;
    let mut offset = HEADER;
    while offset < length {
        let (width, size) = match section(&mut file)? {
            Ok(found) => found,
            Err(message) => return Ok(Err(ScreeningError::malformed_at(offset, message))),
        };
        let end = offset.saturating_add(width).saturating_add(size);
        if end > length {
            return Ok(Err(ScreeningError::malformed_at(offset, "a section is longer than the rest of the file")));
        }
        file.seek_relative(size.cast_signed())?;
        offset = end;
    }
    Ok(match offset == length {
        true => Ok(()),
        false => Err(ScreeningError::malformed_at(length, "it ends within its header")),
    })
}

/// Reads a section's header, and returns its width and the size of the section. The inner error is what is wrong.
fn section(file: &mut impl io::Read) -> io::Result<Result<(u64, u64), &'static str>> {
    /// An unsigned LEB128 of 32 bits has 5 bytes at most (WebAssembly 5.2.2).
    const MOST_WIDTH: u64 = 5;
    let mut byte = || -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((file.read(&mut byte)? == 1).then_some(byte[0]))
    };
    let id = byte()?;
    let mut size = 0_u64;
    for width in 0..MOST_WIDTH {
        let Some(next) = byte()? else { return Ok(Err("it ends within the header of a section")) };
        size |= u64::from(next & 0x7f) << (7 * width);
        if next & 0x80 == 0 {
            // A custom section has at least the length of its name (WebAssembly 5.5.3).
            let is_nameless = id == Some(0) && size == 0;
            return Ok(if is_nameless { Err("a custom section has no name") } else { Ok((width + 2, size)) });
        }
    }
    Ok(Err("the length of a section is not a 32-bit number"))
}

pub(super) fn check_magic(bytes: &[u8]) -> Result<(), ScreeningError> {
    match bytes.get(..4) == Some(b"\0asm") {
        true => Ok(()),
        false => Err(ScreeningError::NotWasm(other_format(bytes))),
    }
}

/// Describes a file that is not WebAssembly, as far as its first bytes show.
fn other_format(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    match () {
        () if bytes.is_empty() => ": it is empty",
        () if text.starts_with(b"(module") || text.starts_with(b"(component") || text.starts_with(b";;") => {
            " but its text format; convert it with `wasm-tools parse`"
        }
        () if bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"\xcf\xfa\xed\xfe") || bytes.starts_with(b"MZ") => {
            " but a program or a library for a processor"
        }
        () if bytes.starts_with(b"!<arch>") => " but a static library",
        () if bytes.starts_with(b"\x1f\x8b")
            || bytes.starts_with(b"PK\x03\x04")
            || bytes.starts_with(b"\x28\xb5\x2f\xfd") =>
        {
            " but a compressed file; unpack it"
        }
        () => "",
    }
}
