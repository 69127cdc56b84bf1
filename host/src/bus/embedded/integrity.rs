//! Finds damaged files: flipped bits and missing ends.
//!
//! SQLite verifies the frames of its write-ahead log, but takes the first invalid frame for the end of the write-ahead
//! log: it would silently drop everything after it. Pages have no checksums at all. Therefore the write-ahead log is
//! verified before SQLite opens it, and each row has a checksum of its own.
//!
//! The layouts are those of "WAL-mode File Format" in SQLite's documentation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::EmbeddedError;
use crate::bus::StoreError;

const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const INDEX_HEADER: usize = 48;

/// Verifies the write-ahead log of a store before the store is opened.
pub(super) fn check_wal(store: &Path) -> Result<(), StoreError> {
    let companion = |ending: &str| {
        let mut name = store.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let (path, index_path) = (companion("-wal"), companion("-shm"));
    let wal = read(&path)?;
    if wal.is_empty() {
        return Ok(());
    }
    let index = read(&index_path)?;
    match find_damage(&wal, &index) {
        None => Ok(()),
        Some(what) => Err(EmbeddedError::Damaged(format!("{}: {what}", path.display())).into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(EmbeddedError::Damaged(format!("{} cannot be read: {error}", path.display())).into()),
    }
}

/// Finds what is wrong with a write-ahead log, given the index that the previous process wrote.
///
/// A power failure may leave a torn last transaction, which was never acknowledged. Each transaction is synced before
/// the next one begins. So if two transactions end after a frame, the frame was durable, and if it is invalid now, the
/// disk has damaged it. The index is written after the sync, so it gives a lower bound of the number of durable frames.
fn find_damage(wal: &[u8], index: &[u8]) -> Option<String> {
    let durable = durable_frames(index);
    let Some(header) = Header::read(wal) else {
        // Without a valid header, SQLite reads nothing. If the header is blank, it had not been written yet.
        let is_header_blank = wal.iter().take(WAL_HEADER).all(|byte| *byte == 0);
        let frames = durable.filter(|(frames, _)| *frames > 0 && !is_header_blank)?.0;
        return Some(format!("its header is damaged, and {frames} frames that were written durably would be lost"));
    };
    let (mut good, mut committed, mut commits_behind) = (0_usize, 0_usize, 0_usize);
    let (mut sums, mut broken) = (header.sums, false);
    for frame in wal[WAL_HEADER..].chunks_exact(FRAME_HEADER + header.page) {
        // Frames with other salts are left from before the last restart of the write-ahead log. Their content is
        // already in the store.
        let is_ours = frame[8..16] == header.salts;
        let ends_transaction = word(frame, 4) != 0;
        sums = header.add(header.add(sums, &frame[..8]), &frame[FRAME_HEADER..]);
        broken |= !is_ours || sums != (word(frame, 16), word(frame, 20));
        if broken {
            commits_behind += usize::from(is_ours && ends_transaction);
            continue;
        }
        good += 1;
        if ends_transaction {
            committed = good;
        }
    }
    if commits_behind >= 2 {
        return Some(format!("frame {} is damaged, and what was committed after it would be lost", good + 1));
    }
    let (durable, _) = durable.filter(|(_, salts)| *salts == header.salts)?;
    (durable > committed).then(|| {
        format!("it is damaged: {durable} frames were written durably, and only {committed} of them can be read")
    })
}

struct Header {
    page: usize,
    salts: [u8; 8],
    sums: (u32, u32),
    /// Whether the words that are summed are big-endian.
    is_big: bool,
}

impl Header {
    fn read(wal: &[u8]) -> Option<Self> {
        let bytes = wal.get(..WAL_HEADER)?;
        let magic = word(bytes, 0);
        let is_big = magic & 1 == 1;
        let header = Self {
            page: usize::try_from(word(bytes, 8)).ok()?,
            salts: bytes[16..24].try_into().ok()?,
            sums: (word(bytes, 24), word(bytes, 28)),
            is_big,
        };
        // If the header is invalid, the process was restarting the write-ahead log. At that moment, the store contained
        // all earlier transactions.
        let is_sound = magic & !1 == 0x377f_0682
            && header.page.is_power_of_two()
            && (512..=65_536).contains(&header.page)
            && header.add((0, 0), &bytes[..24]) == header.sums;
        is_sound.then_some(header)
    }

    fn add(&self, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        for pair in bytes.chunks_exact(8) {
            let (one, two) = if self.is_big {
                (word(pair, 0), word(pair, 4))
            } else {
                (word(pair, 0).swap_bytes(), word(pair, 4).swap_bytes())
            };
            first = first.wrapping_add(one).wrapping_add(second);
            second = second.wrapping_add(two).wrapping_add(first);
        }
        (first, second)
    }
}

/// How many frames the index has, and the salts of their write-ahead log; none if the index is not whole.
fn durable_frames(index: &[u8]) -> Option<(usize, [u8; 8])> {
    let (one, two) = index.get(..2 * INDEX_HEADER)?.split_at(INDEX_HEADER);
    if one != two || one[12] != 1 {
        return None;
    }
    // In the byte order of the machine that wrote it.
    let frames = u32::from_ne_bytes(one[16..20].try_into().ok()?);
    Some((usize::try_from(frames).ok()?, one[32..40].try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(word.unwrap_or_default())
}

/// Verifies an open store: its structure, its indexes, and the checksum of every row. Takes the tables, each with what
/// its checksums cover.
pub(super) fn check_store(connection: &Connection, summed: &BTreeMap<&str, &str>) -> Result<(), StoreError> {
    let finding: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if finding != "ok" {
        return Err(EmbeddedError::Damaged(finding).into());
    }
    for (table, columns) in summed {
        let sql = format!("SELECT count(*) FROM {table} WHERE sum IS NOT checksum({columns})");
        let wrong: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if wrong > 0 {
            let finding = format!("{wrong} rows of the table `{table}` have a wrong checksum");
            return Err(EmbeddedError::Damaged(finding).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;
    use crate::bus::StoreErrorKind;
    use crate::clock::Timestamp;

    /// The write-ahead log of several transactions and its index, as a killed process leaves them.
    fn killed(directory: &Path) -> (PathBuf, Vec<u8>, Vec<u8>) {
        let path = directory.join("bus.db");
        let connection = schema::open(&path, Timestamp(0)).unwrap();
        for number in 0..20_i64 {
            connection.execute("INSERT INTO types VALUES (?1, ?1, checksum(?1, ?1))", [number]).unwrap();
        }
        let wal = std::fs::read(directory.join("bus.db-wal")).unwrap();
        let index = std::fs::read(directory.join("bus.db-shm")).unwrap();
        (path, wal, index)
    }

    #[test]
    fn a_write_ahead_log_that_is_whole_passes() {
        let directory = tempfile::tempdir().unwrap();
        let (path, wal, index) = killed(directory.path());
        assert_eq!(find_damage(&wal, &index), None);
        assert!(check_wal(&path).is_ok());
        assert_eq!(find_damage(&wal, &[]), None);
        assert_eq!(find_damage(&[], &[]), None);
    }

    #[test]
    fn a_torn_last_transaction_passes_where_no_index_knows_better() {
        let directory = tempfile::tempdir().unwrap();
        let (_, wal, index) = killed(directory.path());
        let torn = &wal[..wal.len() - 5_000];
        assert_eq!(find_damage(torn, &[]), None);
        assert!(find_damage(torn, &index).is_some(), "the index knows that it was written durably");
    }

    #[test]
    fn a_flipped_bit_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (_, wal, index) = killed(directory.path());
        for at in [WAL_HEADER + 40, wal.len() / 2, WAL_HEADER + 9] {
            let mut flipped = wal.clone();
            flipped[at] ^= 4;
            assert!(find_damage(&flipped, &[]).is_some(), "at {at} without an index");
            assert!(find_damage(&flipped, &index).is_some(), "at {at} with an index");
        }
        let mut last = wal.clone();
        let at = last.len() - 10;
        last[at] ^= 4;
        assert!(find_damage(&last, &index).is_some(), "in the last transaction");
        let mut header = wal;
        header[17] ^= 4;
        assert!(find_damage(&header, &index).is_some(), "in the header");
    }

    #[test]
    fn a_wrong_row_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let connection = schema::open(&directory.path().join("bus.db"), Timestamp(0)).unwrap();
        assert!(check_store(&connection, &schema::summed()).is_ok());
        connection.execute("UPDATE log SET head = 7", []).unwrap();
        let error = check_store(&connection, &schema::summed()).unwrap_err();
        assert!(error.kind() == StoreErrorKind::Damaged && error.to_string().contains("`log`"), "{error}");
    }
}
