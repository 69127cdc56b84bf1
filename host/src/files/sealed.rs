//! Small files with a checksum of their name and content in the first line.
//!
//! The checksum covers the name, so that an intact file under another name is detected too.

use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The prefix of the first line.
const MARK: &[u8] = b"sha256:";
const HEX: usize = 64;
/// The length of the first line.
const HEAD: usize = MARK.len() + HEX + 1;

/// Adds the checksum to a content, for a given path.
pub(crate) fn seal(path: &Path, content: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(HEAD + content.len());
    sealed.extend_from_slice(MARK);
    sealed.extend_from_slice(checksum(path, content).as_bytes());
    sealed.push(b'\n');
    sealed.extend_from_slice(content);
    sealed
}

/// The content of a file, or none if the checksum does not match.
pub(crate) fn unseal<'a>(path: &Path, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (head, content) = sealed.split_at_checked(HEAD)?;
    let sum = head.strip_prefix(MARK)?.strip_suffix(b"\n")?;
    (sum == checksum(path, content).as_bytes()).then_some(content)
}

fn checksum(path: &Path, content: &[u8]) -> String {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut hasher = Sha256::new();
    hasher.update((name.len() as u64).to_le_bytes());
    hasher.update(name);
    hasher.update(content);
    hex(&hasher.finalize())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Variants of a file with one flipped bit, a truncation or an appended byte. In long files, only every few bytes in
/// the middle are flipped.
#[cfg(test)]
pub(crate) fn damaged(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let step = (whole.len() / 2_000).max(1);
    let places = (0..whole.len()).filter(move |place| {
        let is_end = *place < 256 || whole.len() - *place <= 256;
        is_end || place.is_multiple_of(step)
    });
    let bits = if step == 1 { 8 } else { 1 };
    let flipped = places.flat_map(move |place| {
        (0..bits).map(move |bit| {
            let mut bytes = whole.to_vec();
            bytes[place] ^= 1 << ((bit + place) % 8);
            bytes
        })
    });
    let cut =
        [0, 1, HEAD, whole.len() / 2, whole.len() - 1].map(|length| whole[..length.min(whole.len() - 1)].to_vec());
    flipped.chain(cut).chain([[whole, b"\0"].concat()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_damage_goes_unnoticed() {
        let path = Path::new("cache/a.descriptor");
        let sealed = seal(path, br#"{"name":"a"}"#);
        assert_eq!(unseal(path, &sealed), Some(br#"{"name":"a"}"#.as_slice()));
        for bytes in damaged(&sealed) {
            assert_eq!(unseal(path, &bytes), None, "{}", String::from_utf8_lossy(&bytes));
        }
        assert_eq!(unseal(Path::new("cache/b.descriptor"), &sealed), None, "it is another file's");
        assert_eq!(unseal(Path::new("elsewhere/a.descriptor"), &sealed).map(<[u8]>::len), Some(12));
    }
}
