//! The files of a plugin's last generations, so that an operator can go back to one of them, and the word that he
//! did: it holds until another file is put into the folder, across restarts too.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compile::Digest;
use crate::clock::{Timestamp, rfc3339};

/// How many generations of a plugin are kept.
const KEPT: usize = 5;

/// The archive, with a directory for each file of the plugin folder.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    directory: PathBuf,
}

/// A generation that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The digest of its file.
    pub digest: String,
    /// Its version, as it says itself.
    pub version: String,
    /// When it was loaded first.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// Enough of a digest for a person. What stands in a record may be no digest.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// The word that an earlier generation runs in place of what is in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The digest of the file in the folder that is passed over.
    pub passed_over: String,
    /// The digest of what runs.
    pub runs: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// What is known of one file's generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Those that are kept, in the order in which they were loaded first.
    pub(super) kept: Vec<Kept>,
    /// What runs in place of the file in the folder, if anything does.
    pub(super) pin: Option<Pin>,
}

impl Record {
    /// What runs in place of a file.
    pub(super) fn pin_over(&self, digest: &Digest) -> Option<&Pin> {
        self.pin.as_ref().filter(|pin| pin.passed_over == digest.as_str())
    }
}

impl Archive {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What is known of a file's generations. A record that is damaged is none: a host without its history is
    /// better than one that does not start.
    pub(super) fn record(&self, stem: &str) -> Record {
        let path = self.record_path(stem);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::error!(path = %path.display(), %error, "the record of a plugin's generations is damaged; it begins anew");
                Record::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the record of a plugin's generations cannot be read");
                Record::default()
            }
        }
    }

    /// Keeps a generation's file, and lets go of the oldest one.
    pub(super) fn keep(&self, stem: &str, kept: Kept, bytes: &[u8]) -> io::Result<Record> {
        let mut record = self.record(stem);
        if record.kept.iter().any(|other| other.digest == kept.digest) {
            return Ok(record);
        }
        write_durably(&self.file_path(stem, &kept.digest), bytes)?;
        record.kept.push(kept);
        let runs = record.pin.as_ref().map(|pin| pin.runs.as_str());
        let surplus = &record.kept[..record.kept.len().saturating_sub(KEPT)];
        let gone = surplus.iter().map(|kept| kept.digest.clone()).filter(|digest| Some(digest.as_str()) != runs);
        let gone: Vec<_> = gone.collect();
        record.kept.retain(|kept| !gone.contains(&kept.digest));
        self.write(stem, &record)?;
        for digest in gone {
            drop(std::fs::remove_file(self.file_path(stem, &digest)));
        }
        Ok(record)
    }

    /// Stores what runs in place of a file, or that it runs itself.
    pub(super) fn pin(&self, stem: &str, pin: Option<Pin>) -> io::Result<Record> {
        let mut record = self.record(stem);
        if record.pin != pin {
            record.pin = pin;
            self.write(stem, &record)?;
        }
        Ok(record)
    }

    /// The file of a generation.
    pub(super) fn read(&self, stem: &str, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(self.file_path(stem, digest))?;
        if Digest::of(&bytes).as_str() == digest {
            return Ok(bytes);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged"))
    }

    fn write(&self, stem: &str, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        write_durably(&self.record_path(stem), &text)
    }

    fn record_path(&self, stem: &str) -> PathBuf {
        self.directory.join(stem).join("record.json")
    }

    fn file_path(&self, stem: &str, digest: &str) -> PathBuf {
        self.directory.join(stem).join(format!("{digest}.wasm"))
    }
}

/// Writes a file so that it is there whole after a crash, or as it was before.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: &[u8]) -> Kept {
        Kept { digest: Digest::of(bytes).as_str().to_owned(), version: "1".to_owned(), since: Timestamp(1_000) }
    }

    #[test]
    fn the_last_generations_are_kept_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::new(directory.path().to_owned());
        for number in 0..7_u8 {
            archive.keep("a", kept(&[number]), &[number]).unwrap();
        }
        let record = archive.record("a");
        let expected: Vec<_> = (2..7_u8).map(|number| kept(&[number])).collect();
        assert_eq!(record.kept, expected);
        assert!(archive.read("a", &kept(&[1]).digest).is_err());
        assert_eq!(archive.read("a", &kept(&[2]).digest).unwrap(), [2]);
    }

    #[test]
    fn what_runs_is_kept_for_as_long_as_it_does() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::new(directory.path().to_owned());
        archive.keep("a", kept(&[0]), &[0]).unwrap();
        let pin = |passed_over: &[u8]| Pin {
            passed_over: kept(passed_over).digest,
            runs: kept(&[0]).digest,
            reason: "by hand".to_owned(),
            since: Timestamp(2_000),
        };
        archive.pin("a", Some(pin(&[1]))).unwrap();
        for number in 1..9_u8 {
            archive.keep("a", kept(&[number]), &[number]).unwrap();
        }
        let record = archive.record("a");
        assert_eq!(record.pin_over(&Digest::of(&[1])), Some(&pin(&[1])));
        assert_eq!(record.pin_over(&Digest::of(&[2])), None);
        assert_eq!(archive.read("a", &kept(&[0]).digest).unwrap(), [0]);
    }

    #[test]
    fn a_damaged_file_is_told_from_a_whole_one() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::new(directory.path().to_owned());
        archive.keep("a", kept(&[0]), &[0]).unwrap();
        std::fs::write(archive.file_path("a", &kept(&[0]).digest), [1]).unwrap();
        assert_eq!(archive.read("a", &kept(&[0]).digest).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::write(archive.record_path("a"), "{").unwrap();
        assert_eq!(archive.record("a"), Record::default());
    }
}
