//! The hash chain.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::AuditEntry;
use super::files::Segments;
use crate::files::sealed::hex;

/// The hash before the first entry.
pub(super) const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A line of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// The hash of the entry before this one.
    pub(super) previous: String,
    /// The hash of `previous` and of this entry as it is written.
    pub(super) hash: String,
    entry: Box<RawValue>,
}

impl Link {
    pub(super) fn new(entry: &AuditEntry, previous: &str) -> Self {
        let entry = serde_json::value::to_raw_value(entry).expect("an entry can be written as JSON");
        Self { previous: previous.to_owned(), hash: hash(previous, entry.get()), entry }
    }

    pub(super) fn parse(line: &str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a line can be written as JSON");
        line.push(b'\n');
        line
    }

    /// The entry with its hash. None if it is not an entry.
    pub(super) fn entry(self) -> Option<(AuditEntry, String)> {
        Some((serde_json::from_str(self.entry.get()).ok()?, self.hash))
    }
}

fn hash(previous: &str, entry: &str) -> String {
    let digest = Sha256::new().chain_update(previous).chain_update(entry).finalize();
    hex(&digest)
}

/// A whole chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The number of entries.
    pub entries: u64,
    /// The number of the first entry. It is larger than 1 if earlier files were deleted.
    pub first: u64,
    /// The number of the last entry.
    pub last: u64,
    /// The hash of the last entry. Keep it elsewhere: somebody who can write the files could recompute all hashes.
    pub head: String,
}

/// What is wrong with a chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainFault {
    /// The files cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A line is not an entry.
    #[error("line {line} of {file} is not an entry: it was changed, or a write was cut off")]
    Malformed {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// The content of an entry does not have its hash.
    #[error("the entry {sequence} in line {line} of {file} was changed: its hash is wrong")]
    Changed {
        /// The number that the entry claims.
        sequence: u64,
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An entry does not follow the one before it.
    #[error(
        "the entry {sequence} in line {line} of {file} does not follow the entry before it: entries were removed, added or reordered"
    )]
    Broken {
        /// The number that the entry claims.
        sequence: u64,
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An expected entry is missing.
    #[error("no entry has the hash {0}: the log was cut or written again since that hash was noted")]
    Missing(String),
}

/// Checks all entries of the audit log in a data directory. `expected` is a hash that an earlier check has returned.
///
/// # Errors
/// The first fault.
pub fn verify(data: &Path, expected: Option<&str>) -> Result<Option<Chain>, ChainFault> {
    let segments = Segments::of(&data.join(super::DIRECTORY))?;
    let mut chain: Option<Chain> = None;
    let mut is_found = expected.is_none();
    let expected = expected.map(str::to_ascii_lowercase);
    for (first, path) in segments.numbered() {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (index, line) in String::from_utf8_lossy(&std::fs::read(path)?).lines().enumerate() {
            let line_number = index + 1;
            let malformed = || ChainFault::Malformed { file: file.clone(), line: line_number };
            let link = Link::parse(line).map_err(|_| malformed())?;
            let (is_intact, previous) = (hash(&link.previous, link.entry.get()) == link.hash, link.previous.clone());
            let (entry, own_hash) = link.entry().ok_or_else(malformed)?;
            let sequence = entry.sequence;
            if !is_intact {
                return Err(ChainFault::Changed { sequence, file, line: line_number });
            }
            let follows = match &chain {
                Some(chain) => chain.head == previous && chain.last.checked_add(1) == Some(sequence),
                None => (sequence == 1) == (previous == ZERO),
            };
            // The name of a file is the number of its first entry, so missing entries at its beginning are found.
            if !follows || index == 0 && sequence != first {
                return Err(ChainFault::Broken { sequence, file, line: line_number });
            }
            is_found |= expected.as_deref() == Some(own_hash.as_str());
            let (first, entries) = chain.map_or((sequence, 0), |chain| (chain.first, chain.entries));
            chain = Some(Chain { entries: entries + 1, first, last: sequence, head: own_hash });
        }
    }
    match expected {
        Some(expected) if !is_found => Err(ChainFault::Missing(expected)),
        _ => Ok(chain),
    }
}
