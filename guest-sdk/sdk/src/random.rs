//! Random numbers of the operating system, through the host.

use crate::host;

/// Returns `count` random bytes.
#[must_use]
pub fn random_bytes(count: usize) -> Vec<u8> {
    host::random_bytes(count)
}

/// Returns a random number.
#[must_use]
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&random_bytes(8));
    u64::from_le_bytes(bytes)
}
