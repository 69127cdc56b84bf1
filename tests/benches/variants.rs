//! One component under many names, each with an event type of its own.

use std::path::Path;

use sandbus_tests::guest;

/// Puts so many variants of `bench-handler` into a folder. Variant 0 takes `bench.00000`, and so on.
pub(crate) fn put(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).expect("a folder");
    let original = guest("bench-handler");
    for number in 0..count {
        let mut bytes = original.clone();
        replace(&mut bytes, b"bench-handler", format!("bench-{number:07}").as_bytes());
        replace(&mut bytes, b"bench.order", format!("bench.{number:05}").as_bytes());
        std::fs::write(folder.join(format!("variant-{number}.wasm")), bytes).expect("the disk has room");
    }
}

/// Replaces every occurrence by something of the same length.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let places: Vec<_> = bytes.windows(old.len()).enumerate().filter(|(_, window)| *window == old).collect();
    let places: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
    assert!(!places.is_empty(), "the component holds its names");
    for place in places {
        bytes[place..place + old.len()].copy_from_slice(new);
    }
}
