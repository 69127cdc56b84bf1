//! The recording of a run by the shim, and the disks that a power cut could have left at any moment of it.
//!
//! A disk keeps all synced writes. It may keep any subset of the others. Each of them may be complete, torn between
//! sectors, or have changed only the length of the file. The same applies to files that were created or removed, if
//! their directory was not synced.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, bail, ensure};
use fastrand::Rng;

/// The unit that a disk writes atomically.
const SECTOR: u64 = 512;

/// The length of a record's header: `struct header` in `shim.c`.
const HEADER: usize = 24;

/// The store's files by the shim's numbers.
const NAMES: [&str; 4] = ["", "bus.db", "bus.db-wal", "bus.db-journal"];
const DIRECTORY: u32 = 4;

/// A file's number.
type File = u32;

/// The store's files by name.
pub(crate) type Files = BTreeMap<&'static str, Vec<u8>>;

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Write {
        offset: u64,
        /// Where the bytes are in the recording.
        bytes: Range<usize>,
    },
    Truncate {
        length: u64,
    },
    /// The operations before this length of the recording are on the disk.
    Sync {
        covered: u64,
    },
    Create,
    Unlink,
}

#[derive(Debug)]
struct Operation {
    file: File,
    action: Action,
    /// The recording's length after this operation.
    end: u64,
}

/// Everything that reached the store's files in a run, in order.
#[derive(Debug)]
pub(crate) struct Recording {
    raw: Vec<u8>,
    operations: Vec<Operation>,
}

impl Recording {
    /// Reads what the shim wrote. A record that is cut off at the end was interrupted by a kill.
    pub(crate) fn read(raw: Vec<u8>) -> anyhow::Result<Self> {
        let mut operations = Vec::new();
        let mut at = 0;
        while let Some(header) = raw.get(at..at + HEADER) {
            let (words, numbers) = header.split_at(8);
            let word = |index: usize| -> anyhow::Result<u32> {
                Ok(u32::from_ne_bytes(words.get(index * 4..).context("in the header")?[..4].try_into()?))
            };
            let number = |index: usize| -> anyhow::Result<u64> {
                Ok(u64::from_ne_bytes(numbers.get(index * 8..).context("in the header")?[..8].try_into()?))
            };
            let (kind, file, place, length) = (word(0)?, word(1)?, number(0)?, usize::try_from(number(1)?)?);
            let bytes = at + HEADER..at + HEADER + length;
            if bytes.end > raw.len() {
                break;
            }
            at = bytes.end;
            let action = match kind {
                1 => Action::Write { offset: place, bytes },
                2 => Action::Truncate { length: place },
                3 => Action::Sync { covered: place },
                4 => Action::Create,
                5 => Action::Unlink,
                6 => bail!("the store renamed {}, which rebuilt disks do not support", name(file)?),
                other => bail!("the recording has a record of kind {other}"),
            };
            ensure!((1..=DIRECTORY).contains(&file), "the recording has a file {file}");
            operations.push(Operation { file, action, end: at as u64 });
        }
        Ok(Self { raw, operations })
    }

    /// The number of operations.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Random moments of the run, as numbers of operations, in order. Half of them are next to a sync or to a change of
    /// a file's length.
    pub(crate) fn moments(&self, count: usize, rng: &mut Rng) -> Vec<usize> {
        let turns: Vec<_> =
            (0..self.len()).filter(|index| !matches!(self.operations[*index].action, Action::Write { .. })).collect();
        let near = |index: usize, rng: &mut Rng| (index + rng.usize(0..5)).saturating_sub(2).min(self.len());
        let mut moments: Vec<_> = (0..count)
            .map(|_| match rng.choice(&turns) {
                Some(turn) if rng.bool() => near(*turn, rng),
                _ => rng.usize(0..=self.len()),
            })
            .collect();
        moments.sort_unstable();
        moments
    }

    /// The recording's length after a number of operations.
    pub(crate) fn length_at(&self, moment: usize) -> u64 {
        moment.checked_sub(1).and_then(|last| self.operations.get(last)).map_or(0, |operation| operation.end)
    }

    /// The disk before the first operation, with files that are already synced.
    pub(crate) fn disk(&self, files: &Files) -> Disk<'_> {
        let (mut inodes, mut names) = (Vec::new(), BTreeMap::new());
        for (file, name) in (0..).zip(NAMES) {
            if let Some(content) = files.get(name) {
                names.insert(file, inodes.len());
                inodes.push(Inode { kept: content.clone(), pending: Vec::new() });
            }
        }
        Disk { recording: self, done: 0, inodes, kept_names: names.clone(), names, pending_names: Vec::new() }
    }
}

fn name(file: File) -> anyhow::Result<&'static str> {
    NAMES.get(file as usize).copied().filter(|name| !name.is_empty()).context("a directory has no name here")
}

/// A file's content, independent of its name.
#[derive(Debug, Default)]
struct Inode {
    kept: Vec<u8>,
    /// Indices of operations that no sync covers.
    pending: Vec<usize>,
}

/// A disk at a moment of the run.
#[derive(Debug)]
pub(crate) struct Disk<'a> {
    recording: &'a Recording,
    done: usize,
    inodes: Vec<Inode>,
    /// The inodes of the files, as running programs see them.
    names: BTreeMap<File, usize>,
    /// The inodes of the files as of the last sync of the directory.
    kept_names: BTreeMap<File, usize>,
    /// Changes of names that no sync of the directory covers, each with the recording's length after it.
    pending_names: Vec<(u64, File, Option<usize>)>,
}

impl Disk<'_> {
    /// Advances to a later moment.
    pub(crate) fn advance(&mut self, moment: usize) -> anyhow::Result<()> {
        for index in self.done..moment {
            self.step(index)?;
        }
        self.done = self.done.max(moment);
        Ok(())
    }

    fn step(&mut self, index: usize) -> anyhow::Result<()> {
        let Operation { file, action, end } = &self.recording.operations[index];
        match action {
            Action::Create => {
                self.inodes.push(Inode::default());
                let inode = self.inodes.len() - 1;
                self.names.insert(*file, inode);
                self.pending_names.push((*end, *file, Some(inode)));
            }
            Action::Unlink => {
                self.names.remove(file);
                self.pending_names.push((*end, *file, None));
            }
            Action::Sync { covered } if *file == DIRECTORY => {
                while self.pending_names.first().is_some_and(|(end, ..)| end <= covered) {
                    let (_, file, inode) = self.pending_names.remove(0);
                    rename(&mut self.kept_names, file, inode);
                }
            }
            Action::Sync { covered } => {
                let inode = self.inode(*file)?;
                let operations = &self.recording.operations;
                let covered = self.inodes[inode].pending.partition_point(|index| operations[*index].end <= *covered);
                let Inode { kept, pending } = &mut self.inodes[inode];
                for index in pending.drain(..covered) {
                    apply(kept, &self.recording.raw, &operations[index].action);
                }
            }
            Action::Write { .. } | Action::Truncate { .. } => {
                let inode = self.inode(*file)?;
                self.inodes[inode].pending.push(index);
            }
        }
        Ok(())
    }

    fn inode(&self, file: File) -> anyhow::Result<usize> {
        self.names.get(&file).copied().with_context(|| format!("file {file} was used before it was created"))
    }

    /// The files as running programs see them.
    pub(crate) fn now(&self) -> Files {
        let content = |inode: &Inode| {
            let mut content = inode.kept.clone();
            for index in &inode.pending {
                apply(&mut content, &self.recording.raw, &self.recording.operations[*index].action);
            }
            content
        };
        self.names.iter().map(|(file, inode)| (NAMES[*file as usize], content(&self.inodes[*inode]))).collect()
    }

    /// The files that a power cut at this moment may leave. Each call returns another random possibility.
    pub(crate) fn cut(&self, rng: &mut Rng) -> Files {
        // The share of unsynced writes that the disk has kept.
        let kept_share = [0.0, 0.2, 0.5, 0.8, 1.0][rng.usize(0..5)];
        let mut names = self.kept_names.clone();
        for (_, file, inode) in &self.pending_names {
            if rng.f64() < kept_share {
                rename(&mut names, *file, *inode);
            }
        }
        let content = |inode: usize, rng: &mut Rng| {
            let Inode { kept, pending } = &self.inodes[inode];
            let mut content = kept.clone();
            for index in pending {
                if rng.f64() < kept_share {
                    self.apply_partly(&mut content, &self.recording.operations[*index].action, rng);
                }
            }
            content
        };
        names.into_iter().map(|(file, inode)| (NAMES[file as usize], content(inode, rng))).collect()
    }

    /// Applies an operation, usually completely and sometimes partly.
    fn apply_partly(&self, content: &mut Vec<u8>, action: &Action, rng: &mut Rng) {
        let Action::Write { offset, bytes } = action else { return apply(content, &self.recording.raw, action) };
        match rng.u32(0..10) {
            // Only the length was written.
            0 => grow(content, *offset + bytes.len() as u64),
            // Some sectors were written.
            1..4 => {
                for (at, bytes) in sectors(*offset, bytes.clone()) {
                    if rng.bool() {
                        write(content, at, &self.recording.raw[bytes]);
                    }
                }
            }
            _ => apply(content, &self.recording.raw, action),
        }
    }
}

fn rename(names: &mut BTreeMap<File, usize>, file: File, inode: Option<usize>) {
    match inode {
        Some(inode) => names.insert(file, inode),
        None => names.remove(&file),
    };
}

fn apply(content: &mut Vec<u8>, raw: &[u8], action: &Action) {
    match action {
        Action::Write { offset, bytes } => write(content, *offset, &raw[bytes.clone()]),
        Action::Truncate { length } => content.resize(*length as usize, 0),
        Action::Sync { .. } | Action::Create | Action::Unlink => {}
    }
}

fn grow(content: &mut Vec<u8>, length: u64) {
    if (content.len() as u64) < length {
        content.resize(length as usize, 0);
    }
}

fn write(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    grow(content, offset + bytes.len() as u64);
    content[offset as usize..][..bytes.len()].copy_from_slice(bytes);
}

/// The parts of a write, one for each sector.
fn sectors(offset: u64, bytes: Range<usize>) -> impl Iterator<Item = (u64, Range<usize>)> {
    let end = offset + bytes.len() as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        let start = bytes.start + (at - offset) as usize;
        let part = (at, start..start + (next - at) as usize);
        (at < end).then(|| {
            at = next;
            part
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DATABASE: File = 1;
    const WAL: File = 2;

    /// Writes a recording as the shim does.
    #[derive(Default)]
    struct Script(Vec<u8>);

    impl Script {
        fn record(mut self, kind: u32, file: File, place: u64, bytes: &[u8]) -> Self {
            for word in [kind, file] {
                self.0.extend(word.to_ne_bytes());
            }
            for number in [place, bytes.len() as u64] {
                self.0.extend(number.to_ne_bytes());
            }
            self.0.extend(bytes);
            self
        }

        fn create(self, file: File) -> Self {
            self.record(4, file, 0, b"")
        }

        fn unlink(self, file: File) -> Self {
            self.record(5, file, 0, b"")
        }

        fn write(self, file: File, offset: u64, bytes: &[u8]) -> Self {
            self.record(1, file, offset, bytes)
        }

        fn truncate(self, file: File, length: u64) -> Self {
            self.record(2, file, length, b"")
        }

        fn sync(self, file: File) -> Self {
            let covered = self.0.len() as u64;
            self.record(3, file, covered, b"")
        }

        fn recording(self) -> Recording {
            Recording::read(self.0).unwrap()
        }
    }

    /// Every content of a file that many cuts at the end leave. None stands for a missing file.
    fn outcomes(recording: &Recording, name: &str) -> BTreeSet<Option<Vec<u8>>> {
        let mut disk = recording.disk(&Files::new());
        disk.advance(recording.len()).unwrap();
        let mut rng = Rng::with_seed(1);
        (0..2_000).map(|_| disk.cut(&mut rng).remove(name)).collect()
    }

    #[test]
    fn synced_writes_survive_every_cut() {
        let recording = Script::default()
            .create(WAL)
            .write(WAL, 0, b"abcdef")
            .truncate(WAL, 4)
            .sync(WAL)
            .sync(DIRECTORY)
            .recording();
        assert_eq!(outcomes(&recording, "bus.db-wal"), BTreeSet::from([Some(b"abcd".to_vec())]));
    }

    #[test]
    fn unsynced_writes_survive_in_any_combination() {
        let recording =
            Script::default().create(WAL).sync(DIRECTORY).write(WAL, 0, b"aa").write(WAL, 2, b"bb").recording();
        let outcomes = outcomes(&recording, "bus.db-wal");
        for expected in [&b""[..], b"aa", b"aabb", b"\0\0bb", b"aa\0\0", b"\0\0"] {
            assert!(outcomes.contains(&Some(expected.to_vec())), "{expected:?} of {outcomes:?}");
        }
    }

    #[test]
    fn a_truncation_may_be_forgotten_until_it_is_synced() {
        let script = || Script::default().create(WAL).write(WAL, 0, b"abcd").sync(WAL).sync(DIRECTORY).truncate(WAL, 0);
        let both = BTreeSet::from([Some(b"".to_vec()), Some(b"abcd".to_vec())]);
        assert_eq!(outcomes(&script().recording(), "bus.db-wal"), both);
        assert_eq!(outcomes(&script().sync(WAL).recording(), "bus.db-wal"), BTreeSet::from([Some(b"".to_vec())]));
    }

    #[test]
    fn a_file_may_be_missing_until_its_directory_is_synced_and_be_back_after_it_was_removed() {
        let script = || Script::default().create(DATABASE).write(DATABASE, 0, b"a").sync(DATABASE);
        assert_eq!(outcomes(&script().recording(), "bus.db"), BTreeSet::from([None, Some(b"a".to_vec())]));
        let removed = script().sync(DIRECTORY).unlink(DATABASE);
        assert_eq!(outcomes(&removed.recording(), "bus.db"), BTreeSet::from([None, Some(b"a".to_vec())]));
        let gone = script().sync(DIRECTORY).unlink(DATABASE).sync(DIRECTORY);
        assert_eq!(outcomes(&gone.recording(), "bus.db"), BTreeSet::from([None]));
    }

    #[test]
    fn earlier_content_stays_until_it_is_overwritten() {
        let recording = Script::default().write(WAL, 1, b"b").recording();
        let mut disk = recording.disk(&Files::from([("bus.db-wal", b"aaa".to_vec())]));
        disk.advance(1).unwrap();
        let mut rng = Rng::with_seed(1);
        let seen: BTreeSet<_> = (0..100).map(|_| disk.cut(&mut rng)["bus.db-wal"].clone()).collect();
        assert_eq!(seen, BTreeSet::from([b"aaa".to_vec(), b"aba".to_vec()]));
    }

    #[test]
    fn a_write_is_torn_only_between_sectors() {
        let recording = Script::default().create(WAL).sync(DIRECTORY).write(WAL, 500, &[1; 600]).recording();
        let outcomes: Vec<_> = outcomes(&recording, "bus.db-wal").into_iter().flatten().collect();
        let sectors = |content: &[u8]| {
            [500..512, 512..1024, 1024..1100].map(|part| {
                let bytes: BTreeSet<_> = (part).map(|at| content.get(at).copied().unwrap_or(0)).collect();
                assert_eq!(bytes.len(), 1, "a sector is there or not");
                bytes.contains(&1)
            })
        };
        let seen: BTreeSet<_> = outcomes.iter().map(|content| sectors(content)).collect();
        assert_eq!(seen.len(), 8, "every combination of three sectors");
    }

    #[test]
    fn a_sync_covers_nothing_that_was_written_while_it_ran() {
        let script = Script::default().create(WAL).sync(DIRECTORY).write(WAL, 0, b"a");
        let covered = script.0.len() as u64;
        let recording = script.write(WAL, 1, b"b").record(3, WAL, covered, b"").recording();
        let outcomes = outcomes(&recording, "bus.db-wal");
        assert!(outcomes.contains(&Some(b"a".to_vec())) && outcomes.contains(&Some(b"ab".to_vec())), "{outcomes:?}");
        assert!(outcomes.iter().flatten().all(|content| content.starts_with(b"a")), "{outcomes:?}");
    }

    #[test]
    fn an_interrupted_record_is_left_out_and_a_rename_is_refused() {
        let mut script = Script::default().create(WAL).write(WAL, 0, b"abc");
        script.0.pop();
        assert_eq!(Recording::read(script.0).unwrap().len(), 1);
        assert!(Recording::read(Script::default().record(6, WAL, 0, b"").0).is_err());
    }
}
