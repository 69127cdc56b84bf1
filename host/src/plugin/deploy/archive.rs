//! The files of a plugin's last generations, kept for rollbacks, and the pin that records a rollback. A pin lasts until
//! another file is put into the folder, across restarts too.

use std::io;
use std::path::PathBuf;

use super::generation_record::{ArchivedGeneration, GenerationRecord, Pin, RecordError, RollbackTarget};
use crate::clock::Timestamp;
use crate::files;
use crate::files::sealed;
use crate::plugin::load::source::{self, Symlinks};
use crate::plugin::manifest::digest::Digest;

/// The archive: a directory for each file of the plugin folder.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    directory: PathBuf,
}

impl Archive {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The record of a file's generations; empty if there is none.
    pub(crate) fn record(&self, stem: &str) -> Result<GenerationRecord, RecordError> {
        Ok(self.read_record(stem)?.unwrap_or_default())
    }

    /// Reads the stored record, if there is one.
    fn read_record(&self, stem: &str) -> Result<Option<GenerationRecord>, RecordError> {
        let path = self.record_path(stem);
        let failed = |what: String| RecordError { path: path.display().to_string(), what };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(format!("cannot be read ({error})"))),
        };
        // Records of earlier versions have no checksum. They get one when they are next written.
        let text = if bytes.starts_with(b"{") { Some(&*bytes) } else { sealed::unseal(&path, &bytes) };
        let record = text.and_then(|text| serde_json::from_slice(text).ok());
        record.map(Some).ok_or_else(|| failed("is damaged".to_owned()))
    }

    /// Whether the stored record has a checksum.
    fn is_sealed(&self, stem: &str) -> bool {
        std::fs::read(self.record_path(stem)).is_ok_and(|bytes| !bytes.starts_with(b"{"))
    }

    /// Stores the file of a generation that has taken over, and removes the oldest one. If the generation was loaded
    /// from the folder, also clears a pin that is for another file.
    pub(crate) fn store_generation(
        &self,
        stem: &str,
        generation: ArchivedGeneration,
        bytes: &[u8],
        is_pinned: bool,
    ) -> io::Result<GenerationRecord> {
        let before = self.record(stem)?;
        // A stored file may have been damaged since.
        if !before.has(&generation.digest) || !self.is_intact(stem, &generation.digest) {
            files::write_durably(&self.file_path(stem, &generation.digest), bytes)?;
        }
        let mut record = before.clone();
        if !is_pinned {
            record.unpin(&generation.digest);
        }
        let removed = record.take_over(generation);
        if record != before || !self.is_sealed(stem) {
            self.write_record(stem, &record)?;
        }
        for digest in removed {
            drop(std::fs::remove_file(self.file_path(stem, &digest)));
        }
        Ok(record)
    }

    /// Clears the pin, because the file with this digest runs. A pin that replaces this very file stays.
    pub(crate) fn unpin(&self, stem: &str, digest: &str) -> io::Result<GenerationRecord> {
        let before = self.record(stem)?;
        let mut record = before.clone();
        record.unpin(digest);
        if record != before {
            self.write_record(stem, &record)?;
        }
        Ok(record)
    }

    /// Records a rollback and its pin. Returns the record before and after.
    pub(crate) fn roll_back(
        &self,
        stem: &str,
        from: &Digest,
        to: &RollbackTarget,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> io::Result<(GenerationRecord, GenerationRecord)> {
        let before = self.record(stem)?;
        let mut record = before.clone();
        record.roll_back(from, to, pin, now);
        self.write_record(stem, &record).inspect_err(|_| {
            // The new record may be in place without being durable; put the old one back.
            drop(self.write_record(stem, &before));
        })?;
        Ok((before, record))
    }

    /// Whether a generation's file exists and is undamaged.
    fn is_intact(&self, stem: &str, digest: &str) -> bool {
        source::digest(&self.file_path(stem, digest), Symlinks::Refuse).is_ok_and(|found| found.as_str() == digest)
    }

    /// Reads a generation's file.
    pub(crate) fn read(&self, stem: &str, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(self.file_path(stem, digest))?;
        if Digest::of(&bytes).as_str() == digest {
            return Ok(bytes);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the file is damaged"))
    }

    /// Writes a record atomically.
    pub(crate) fn write_record(&self, stem: &str, record: &GenerationRecord) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        let path = self.record_path(stem);
        files::write_durably(&path, &sealed::seal(&path, &text))
    }

    /// The size of the archive, in bytes.
    pub(crate) fn size_bytes(&self) -> io::Result<u64> {
        files::directory_bytes(&self.directory)
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
    use crate::plugin::manifest::capabilities::{Capabilities, GrantedCapabilities};

    const NOW: Timestamp = Timestamp(5_000);

    fn archived(bytes: &[u8]) -> ArchivedGeneration {
        let digest = Digest::of(bytes).as_str().to_owned();
        let (version, since) = ("1".to_owned(), Timestamp(1_000));
        ArchivedGeneration { digest, version, since, rolled_back_from: false, capabilities: Some(granting("a.*")) }
    }

    /// Capabilities with one grant.
    fn granting(publish: &str) -> Capabilities {
        let granted = GrantedCapabilities { publish: vec![publish.to_owned()], ..GrantedCapabilities::default() };
        Capabilities { granted, ..Capabilities::default() }
    }

    fn target(bytes: &[u8]) -> RollbackTarget {
        let ArchivedGeneration { digest, capabilities, .. } = archived(bytes);
        RollbackTarget { digest, capabilities }
    }

    fn pin(replaces: u8, runs: u8) -> Pin {
        Pin {
            replaces: archived(&[replaces]).digest,
            runs: archived(&[runs]).digest,
            reason: "by hand".to_owned(),
            since: Timestamp(2_000),
        }
    }

    /// An archive with one plugin, `a`.
    struct TestArchive {
        archive: Archive,
        _directory: tempfile::TempDir,
    }

    impl TestArchive {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self { archive: Archive::new(directory.path().join("data/generations")), _directory: directory }
        }

        fn deploy(&self, number: u8) -> GenerationRecord {
            self.archive.store_generation("a", archived(&[number]), &[number], false).unwrap()
        }

        fn go_back(&self, from: u8, to: u8) -> GenerationRecord {
            let (from, to) = (Digest::of(&[from]), target(&[to]));
            let pin = Pin { replaces: from.as_str().to_owned(), runs: to.digest.clone(), ..pin(0, 0) };
            self.archive.roll_back("a", &from, &to, Some(pin), NOW).unwrap().1
        }

        /// The archived generations in order, each with whether it was rolled back from.
        fn order(&self) -> Vec<(u8, bool)> {
            let number = |digest: &str| (0..u8::MAX).find(|number| archived(&[*number]).digest == digest).unwrap();
            let kept = self.archive.record("a").unwrap().generations;
            kept.iter().map(|kept| (number(&kept.digest), kept.rolled_back_from)).collect()
        }
    }

    #[test]
    fn the_archive_has_a_size() {
        let test = TestArchive::new();
        assert_eq!(test.archive.size_bytes().unwrap(), 0);
        test.deploy(0);
        let one = test.archive.size_bytes().unwrap();
        test.deploy(1);
        assert!(one > 0 && test.archive.size_bytes().unwrap() > one);
    }

    #[test]
    fn the_last_generations_are_kept_in_order() {
        let test = TestArchive::new();
        for number in 0..7 {
            test.deploy(number);
        }
        let record = test.archive.record("a").unwrap();
        let expected: Vec<_> = (2..7_u8).map(|number| archived(&[number])).collect();
        assert_eq!(record.generations, expected);
        assert!(test.archive.read("a", &archived(&[1]).digest).is_err());
        assert_eq!(test.archive.read("a", &archived(&[2]).digest).unwrap(), [2]);
    }

    #[test]
    fn a_generation_that_takes_over_again_moves_to_the_end() {
        let test = TestArchive::new();
        for number in [0, 1, 2, 3, 4, 0, 5] {
            test.deploy(number);
        }
        assert_eq!(test.order(), [(2, false), (3, false), (4, false), (0, false), (5, false)]);
        assert_eq!(test.archive.read("a", &archived(&[0]).digest).unwrap(), [0]);
    }

    #[test]
    fn reloading_the_running_generation_keeps_its_takeover_time() {
        let test = TestArchive::new();
        test.deploy(0);
        let again = ArchivedGeneration { since: NOW, ..archived(&[0]) };
        let record = test.archive.store_generation("a", again.clone(), &[0], false).unwrap();
        assert_eq!(record.generations, [archived(&[0])]);
        test.deploy(1);
        let record = test.archive.store_generation("a", again, &[0], false).unwrap();
        assert_eq!(record.generations[1].since, NOW);
    }

    #[test]
    fn a_rolled_back_generation_is_marked_until_its_file_is_deployed_again() {
        let test = TestArchive::new();
        test.deploy(0);
        test.deploy(1);
        let record = test.go_back(1, 0);
        assert_eq!(test.order(), [(1, true), (0, false)]);
        assert_eq!(record.generations[1].since, NOW);
        // A restart loads the pinned generation and changes nothing.
        let restarted = test.archive.store_generation("a", archived(&[0]), &[0], true).unwrap();
        assert_eq!(restarted, record);
        test.deploy(2);
        assert_eq!(test.order(), [(1, true), (0, false), (2, false)]);
        test.deploy(1);
        assert_eq!(test.order(), [(0, false), (2, false), (1, false)]);
    }

    #[test]
    fn rolling_forward_marks_nothing() {
        let test = TestArchive::new();
        test.deploy(0);
        test.deploy(1);
        test.go_back(1, 0);
        test.go_back(0, 1);
        assert_eq!(test.order(), [(0, false), (1, false)]);
        test.go_back(1, 0);
        assert_eq!(test.order(), [(1, true), (0, false)]);
    }

    #[test]
    fn a_pin_lasts_until_another_file_has_taken_over() {
        let test = TestArchive::new();
        test.deploy(0);
        test.deploy(1);
        assert_eq!(test.go_back(1, 0).pin_over(&Digest::of(&[1])), Some(&pin(1, 0)));
        assert_eq!(test.archive.record("a").unwrap().pin_over(&Digest::of(&[2])), None);
        // The file runs although it is pinned: the pin is kept.
        let record = test.deploy(1);
        assert_eq!(record.pin, Some(pin(1, 0)));
        assert_eq!(test.order(), [(0, false), (1, true)]);
        assert_eq!(test.deploy(2).pin, None);
        test.go_back(2, 0);
        assert!(test.archive.unpin("a", &archived(&[2]).digest).unwrap().pin.is_some());
        assert!(test.archive.unpin("a", &archived(&[3]).digest).unwrap().pin.is_none());
    }

    #[test]
    fn a_failed_rollback_restores_the_record() {
        let test = TestArchive::new();
        test.deploy(0);
        let before = test.deploy(1);
        let from = Digest::of(&[1]);
        let stored = test.archive.roll_back("a", &from, &target(&[0]), Some(pin(1, 0)), NOW).unwrap();
        assert_eq!(stored.0, before);
        assert_ne!(stored.1, before);
        test.archive.write_record("a", &stored.0).unwrap();
        assert_eq!(test.archive.record("a").unwrap(), before);
    }

    #[test]
    fn a_record_without_marks_is_read() {
        let text = r#"{"kept":[{"digest":"d","version":"1","since":"2030-01-01T00:00:00Z"}],"pin":null}"#;
        let record: GenerationRecord = serde_json::from_str(text).unwrap();
        assert!(!record.generations[0].rolled_back_from);
        assert_eq!(record.generations[0].capabilities, None, "records of earlier releases have none");
    }

    #[test]
    fn the_capabilities_of_the_last_run_are_kept() {
        let test = TestArchive::new();
        test.deploy(0);
        let changed = |grant| ArchivedGeneration { capabilities: Some(granting(grant)), ..archived(&[0]) };
        // The sidecar of the running generation changes.
        let record = test.archive.store_generation("a", changed("b.*"), &[0], false).unwrap();
        assert_eq!(record.generations, [changed("b.*")]);
        test.deploy(1);
        assert_eq!(test.archive.record("a").unwrap().generations, [changed("b.*"), archived(&[1])]);
        // A rollback applies the sidecar of now.
        let to = RollbackTarget { capabilities: Some(granting("c.*")), ..target(&[0]) };
        let (_, record) = test.archive.roll_back("a", &Digest::of(&[1]), &to, None, NOW).unwrap();
        assert_eq!(record.generations[1], ArchivedGeneration { since: NOW, ..changed("c.*") });
        assert_eq!(test.archive.record("a").unwrap(), record);
    }

    #[test]
    fn a_damaged_file_is_detected_and_replaced() {
        let test = TestArchive::new();
        test.deploy(0);
        let archive = &test.archive;
        std::fs::write(archive.file_path("a", &archived(&[0]).digest), [1]).unwrap();
        assert_eq!(archive.read("a", &archived(&[0]).digest).unwrap_err().kind(), io::ErrorKind::InvalidData);
        test.deploy(0);
        assert_eq!(archive.read("a", &archived(&[0]).digest).unwrap(), [0]);
    }

    #[test]
    fn a_damaged_record_is_named_and_never_used() {
        let test = TestArchive::new();
        test.deploy(0);
        test.deploy(1);
        let record = test.go_back(1, 0);
        let path = test.archive.record_path("a");
        let whole = std::fs::read(&path).unwrap();
        for bytes in sealed::damaged(&whole) {
            std::fs::write(&path, bytes).unwrap();
            let error = test.archive.record("a").unwrap_err();
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
            assert!(
                test.archive.store_generation("a", archived(&[1]), &[1], false).is_err(),
                "a damaged record is not overwritten"
            );
        }
        std::fs::write(&path, whole).unwrap();
        assert_eq!(test.archive.record("a").unwrap(), record);
        std::fs::rename(&path, path.with_file_name("elsewhere.json")).unwrap();
        assert_eq!(test.archive.record("a").unwrap(), GenerationRecord::default());
    }

    #[test]
    fn a_record_of_an_earlier_version_gets_a_checksum() {
        let test = TestArchive::new();
        let record = test.deploy(0);
        let path = test.archive.record_path("a");
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(test.archive.record("a").unwrap(), record);
        assert_eq!(test.deploy(0), record);
        assert!(test.archive.is_sealed("a"));
        assert_eq!(test.archive.record("a").unwrap(), record);
    }
}
