//! The files of a plugin's last generations, so that an operator can go back to one of them, and the word that he
//! did: it holds until another file is put into the folder, across restarts too.

use std::io;
use std::path::PathBuf;

use super::record::{Kept, Pin, Record, RecordError};
use crate::clock::Timestamp;
use crate::files;
use crate::files::sealed;
use crate::plugin::load::source::{self, Links};
use crate::plugin::manifest::digest::Digest;

/// The archive, with a directory for each file of the plugin folder.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    directory: PathBuf,
}

impl Archive {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What is known of a file's generations: nothing if there is no record.
    pub(crate) fn record(&self, stem: &str) -> Result<Record, RecordError> {
        Ok(self.stored(stem)?.unwrap_or_default())
    }

    /// The record that is stored, if one is.
    fn stored(&self, stem: &str) -> Result<Option<Record>, RecordError> {
        let path = self.record_path(stem);
        let failed = |what: String| RecordError { path: path.display().to_string(), what };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(format!("cannot be read ({error})"))),
        };
        // Records of earlier versions have no checksum. They get one when they are stored next.
        let text = if bytes.starts_with(b"{") { Some(&*bytes) } else { sealed::unseal(&path, &bytes) };
        let record = text.and_then(|text| serde_json::from_slice(text).ok());
        record.map(Some).ok_or_else(|| failed("is damaged".to_owned()))
    }

    /// Whether a record has a checksum.
    fn is_sealed(&self, stem: &str) -> bool {
        std::fs::read(self.record_path(stem)).is_ok_and(|bytes| !bytes.starts_with(b"{"))
    }

    /// Keeps the file of a generation that has taken over, and lets go of the oldest one. It ends the word for
    /// another file, unless it runs by that word.
    pub(crate) fn keep(&self, stem: &str, kept: Kept, bytes: &[u8], is_pinned: bool) -> io::Result<Record> {
        let before = self.record(stem)?;
        // One that is kept already may have been damaged since.
        if !before.has(&kept.digest) || !self.is_whole(stem, &kept.digest) {
            files::write_durably(&self.file_path(stem, &kept.digest), bytes)?;
        }
        let mut record = before.clone();
        if !is_pinned {
            record.unpin(&kept.digest);
        }
        let gone = record.take_over(kept);
        if record != before || !self.is_sealed(stem) {
            self.store(stem, &record)?;
        }
        for digest in gone {
            drop(std::fs::remove_file(self.file_path(stem, &digest)));
        }
        Ok(record)
    }

    /// Ends the word for another file than the one that runs.
    pub(crate) fn unpin(&self, stem: &str, runs: &str) -> io::Result<Record> {
        let before = self.record(stem)?;
        let mut record = before.clone();
        record.unpin(runs);
        if record != before {
            self.store(stem, &record)?;
        }
        Ok(record)
    }

    /// Stores that a generation takes over again from another, and what then runs in place of the file. Returns the
    /// record as it was and as it is.
    pub(crate) fn go_back(
        &self,
        stem: &str,
        from: &Digest,
        to: &str,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> io::Result<(Record, Record)> {
        let before = self.record(stem)?;
        let mut record = before.clone();
        record.go_back(from, to, pin, now);
        self.store(stem, &record).inspect_err(|_| {
            // It may be there, and not be durable: then it is to go again.
            drop(self.store(stem, &before));
        })?;
        Ok((before, record))
    }

    /// Whether the file of a generation is there as it was kept.
    fn is_whole(&self, stem: &str, digest: &str) -> bool {
        source::digest(&self.file_path(stem, digest), Links::Refuse).is_ok_and(|found| found.as_str() == digest)
    }

    /// The file of a generation.
    pub(crate) fn read(&self, stem: &str, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(self.file_path(stem, digest))?;
        if Digest::of(&bytes).as_str() == digest {
            return Ok(bytes);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged"))
    }

    /// Stores a record as a whole.
    pub(crate) fn store(&self, stem: &str, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        let path = self.record_path(stem);
        files::write_durably(&path, &sealed::seal(&path, &text))
    }

    fn record_path(&self, stem: &str) -> PathBuf {
        self.directory.join(stem).join("record.json")
    }

    fn file_path(&self, stem: &str, digest: &str) -> PathBuf {
        self.directory.join(stem).join(format!("{digest}.wasm"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(5_000);

    fn kept(bytes: &[u8]) -> Kept {
        let digest = Digest::of(bytes).as_str().to_owned();
        Kept { digest, version: "1".to_owned(), since: Timestamp(1_000), rolled_back_from: false }
    }

    fn pin(passed_over: u8, runs: u8) -> Pin {
        Pin {
            passed_over: kept(&[passed_over]).digest,
            runs: kept(&[runs]).digest,
            reason: "by hand".to_owned(),
            since: Timestamp(2_000),
        }
    }

    /// An archive of the plugin `a`, and what is done to it.
    struct Stage {
        archive: Archive,
        _directory: tempfile::TempDir,
    }

    impl Stage {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self { archive: Archive::new(directory.path().join("data/generations")), _directory: directory }
        }

        fn deploy(&self, number: u8) -> Record {
            self.archive.keep("a", kept(&[number]), &[number], false).unwrap()
        }

        fn go_back(&self, from: u8, to: u8) -> Record {
            let (from, to) = (Digest::of(&[from]), kept(&[to]).digest);
            let pin = Pin { passed_over: from.as_str().to_owned(), runs: to.clone(), ..pin(0, 0) };
            self.archive.go_back("a", &from, &to, Some(pin), NOW).unwrap().1
        }

        /// The generations that are kept, each with whether it was rolled back from.
        fn order(&self) -> Vec<(u8, bool)> {
            let number = |digest: &str| (0..u8::MAX).find(|number| kept(&[*number]).digest == digest).unwrap();
            let kept = self.archive.record("a").unwrap().kept;
            kept.iter().map(|kept| (number(&kept.digest), kept.rolled_back_from)).collect()
        }
    }

    #[test]
    fn the_last_generations_are_kept_in_order() {
        let stage = Stage::new();
        for number in 0..7 {
            stage.deploy(number);
        }
        let record = stage.archive.record("a").unwrap();
        let expected: Vec<_> = (2..7_u8).map(|number| kept(&[number])).collect();
        assert_eq!(record.kept, expected);
        assert!(stage.archive.read("a", &kept(&[1]).digest).is_err());
        assert_eq!(stage.archive.read("a", &kept(&[2]).digest).unwrap(), [2]);
    }

    #[test]
    fn one_that_takes_over_again_is_the_last_one_again_and_is_not_let_go_of_next() {
        let stage = Stage::new();
        for number in [0, 1, 2, 3, 4, 0, 5] {
            stage.deploy(number);
        }
        assert_eq!(stage.order(), [(2, false), (3, false), (4, false), (0, false), (5, false)]);
        assert_eq!(stage.archive.read("a", &kept(&[0]).digest).unwrap(), [0]);
    }

    #[test]
    fn one_that_is_only_loaded_again_has_run_since_it_took_over() {
        let stage = Stage::new();
        stage.deploy(0);
        let again = Kept { since: NOW, ..kept(&[0]) };
        let record = stage.archive.keep("a", again.clone(), &[0], false).unwrap();
        assert_eq!(record.kept, [kept(&[0])]);
        stage.deploy(1);
        let record = stage.archive.keep("a", again, &[0], false).unwrap();
        assert_eq!(record.kept[1].since, NOW);
    }

    #[test]
    fn one_that_was_rolled_back_from_is_marked_until_it_is_put_in_again() {
        let stage = Stage::new();
        stage.deploy(0);
        stage.deploy(1);
        let record = stage.go_back(1, 0);
        assert_eq!(stage.order(), [(1, true), (0, false)]);
        assert_eq!(record.kept[1].since, NOW);
        // A restart runs what was rolled back to, and changes nothing.
        let restarted = stage.archive.keep("a", kept(&[0]), &[0], true).unwrap();
        assert_eq!(restarted, record);
        stage.deploy(2);
        assert_eq!(stage.order(), [(1, true), (0, false), (2, false)]);
        stage.deploy(1);
        assert_eq!(stage.order(), [(0, false), (2, false), (1, false)]);
    }

    #[test]
    fn to_go_on_to_what_was_rolled_back_from_marks_nothing() {
        let stage = Stage::new();
        stage.deploy(0);
        stage.deploy(1);
        stage.go_back(1, 0);
        stage.go_back(0, 1);
        assert_eq!(stage.order(), [(0, false), (1, false)]);
        stage.go_back(1, 0);
        assert_eq!(stage.order(), [(1, true), (0, false)]);
    }

    #[test]
    fn a_word_holds_until_another_file_has_taken_over() {
        let stage = Stage::new();
        stage.deploy(0);
        stage.deploy(1);
        assert_eq!(stage.go_back(1, 0).pin_over(&Digest::of(&[1])), Some(&pin(1, 0)));
        assert_eq!(stage.archive.record("a").unwrap().pin_over(&Digest::of(&[2])), None);
        // What was rolled back to is gone for now: the file runs, and the word against it is not forgotten.
        let record = stage.deploy(1);
        assert_eq!(record.pin, Some(pin(1, 0)));
        assert_eq!(stage.order(), [(0, false), (1, true)]);
        assert_eq!(stage.deploy(2).pin, None);
        stage.go_back(2, 0);
        assert!(stage.archive.unpin("a", &kept(&[2]).digest).unwrap().pin.is_some());
        assert!(stage.archive.unpin("a", &kept(&[3]).digest).unwrap().pin.is_none());
    }

    #[test]
    fn what_was_stored_for_nothing_is_taken_back() {
        let stage = Stage::new();
        stage.deploy(0);
        let before = stage.deploy(1);
        let from = Digest::of(&[1]);
        let stored = stage.archive.go_back("a", &from, &kept(&[0]).digest, Some(pin(1, 0)), NOW).unwrap();
        assert_eq!(stored.0, before);
        assert_ne!(stored.1, before);
        stage.archive.store("a", &stored.0).unwrap();
        assert_eq!(stage.archive.record("a").unwrap(), before);
    }

    #[test]
    fn a_record_without_marks_is_read() {
        let text = r#"{"kept":[{"digest":"d","version":"1","since":"2030-01-01T00:00:00Z"}],"pin":null}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert!(!record.kept[0].rolled_back_from);
    }

    #[test]
    fn a_damaged_file_is_told_from_a_whole_one_and_written_again() {
        let stage = Stage::new();
        stage.deploy(0);
        let archive = &stage.archive;
        std::fs::write(archive.file_path("a", &kept(&[0]).digest), [1]).unwrap();
        assert_eq!(archive.read("a", &kept(&[0]).digest).unwrap_err().kind(), io::ErrorKind::InvalidData);
        stage.deploy(0);
        assert_eq!(archive.read("a", &kept(&[0]).digest).unwrap(), [0]);
    }

    #[test]
    fn a_damaged_record_is_named_and_never_used() {
        let stage = Stage::new();
        stage.deploy(0);
        stage.deploy(1);
        let record = stage.go_back(1, 0);
        let path = stage.archive.record_path("a");
        let whole = std::fs::read(&path).unwrap();
        for bytes in sealed::damaged(&whole) {
            std::fs::write(&path, bytes).unwrap();
            let error = stage.archive.record("a").unwrap_err();
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
            assert!(stage.archive.keep("a", kept(&[1]), &[1], false).is_err(), "nothing is written over it");
        }
        std::fs::write(&path, whole).unwrap();
        assert_eq!(stage.archive.record("a").unwrap(), record);
        std::fs::rename(&path, path.with_file_name("elsewhere.json")).unwrap();
        assert_eq!(stage.archive.record("a").unwrap(), Record::default());
    }

    #[test]
    fn a_record_of_an_earlier_version_gets_a_checksum() {
        let stage = Stage::new();
        let record = stage.deploy(0);
        let path = stage.archive.record_path("a");
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(stage.archive.record("a").unwrap(), record);
        assert_eq!(stage.deploy(0), record);
        assert!(stage.archive.is_sealed("a"));
        assert_eq!(stage.archive.record("a").unwrap(), record);
    }
}
