//! Keeps the plugin folders of several hosts alike, through a store that all of them use.
//!
//! Each file has a generation in the store. A host notes the generation and the digest of each file that it has
//! synchronised last. If the store has another one, the host replaces its own file: a folder never replaces a file of a
//! newer generation. Otherwise, a file that differs from the noted digest was changed here, and becomes the next
//! generation.
//!
//! A file that is removed while the host runs is removed on all hosts. A file that is missing when the host starts is
//! restored, and so is a folder that has lost all its files, because an empty folder is more often a mistake than a
//! plan. A file that cannot be read is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::file_name::check_stem;
use crate::files;
use crate::plugin::manifest::digest::Digest;

/// How often the folder and the store are compared.
const INTERVAL: Duration = Duration::from_secs(1);
/// The largest file that is shared.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The number of a version of a file. A later one is greater, across all files.
pub type FileGeneration = i64;

/// A file in the store, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// The name of the file in the plugin folder.
    pub name: String,
    /// Its newest generation.
    pub generation: FileGeneration,
    /// The digest of its content. None if it was removed.
    pub digest: Option<String>,
}

/// Stores the files of plugin folders. Its methods block.
pub trait FileStore: Send + 'static {
    /// Why a method fails.
    type Error: std::error::Error + Send + Sync + 'static;

    /// All files.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn list(&mut self) -> Result<Vec<StoredFile>, Self::Error>;

    /// The content of a file. None if it was removed.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Stores the next generation of a file, or its removal, and returns its number. None if its present generation is
    /// not `base`, which is 0 for a new file.
    ///
    /// # Errors
    /// If the store refuses.
    fn put(
        &mut self,
        name: &str,
        base: FileGeneration,
        content: Option<(&str, &[u8])>,
    ) -> Result<Option<FileGeneration>, Self::Error>;
}

/// A plugin folder that is kept like those of other hosts.
#[derive(Debug)]
pub struct SharedFolder<S> {
    folder: PathBuf,
    /// The file with what was synchronised.
    record: PathBuf,
    store: S,
    synchronised: BTreeMap<String, Synchronised>,
    /// The files that were missing in the last comparison.
    missing: BTreeSet<String>,
    /// The digests of local files, so that unchanged files are not read again.
    digests: BTreeMap<String, (Stamp, String)>,
}

/// A file as it was synchronised last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Synchronised {
    generation: FileGeneration,
    /// None if it was removed.
    digest: Option<String>,
}

/// Tells whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: SystemTime,
}

/// When a folder is synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Start,
    Running,
}

/// The folder and the store could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum SharedFolderError<E: std::error::Error + 'static> {
    /// The folder or the record cannot be read or written.
    #[error("cannot use {0}: {1}")]
    Folder(String, io::Error),
    /// The store failed.
    #[error("cannot use the shared plugin files in the store: {0}")]
    Store(E),
}

impl<S: FileStore> SharedFolder<S> {
    /// A folder whose record is in a data directory. Blocks.
    #[must_use]
    pub fn new(folder: &Path, data: &Path, store: S) -> Self {
        let record = data.join("shared-plugins.json");
        // Without a record, the files of the store count.
        let synchronised = std::fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            folder: folder.to_owned(),
            record,
            store,
            synchronised: synchronised.unwrap_or_default(),
            missing: BTreeSet::new(),
            digests: BTreeMap::new(),
        }
    }

    /// Synchronises the folder before the host loads it. Files that cannot be used are reported in the log. Blocks.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn synchronise_at_start(&mut self) -> Result<(), SharedFolderError<S::Error>> {
        match self.synchronise(Moment::Start) {
            Err(error @ SharedFolderError::Folder(..)) => {
                tracing::warn!(%error, "not all plugin files are shared with other hosts");
                Ok(())
            }
            result => result,
        }
    }

    /// Synchronises the folder from time to time, until it is cancelled.
    pub async fn run(mut self, cancelled: CancellationToken) {
        let mut last_problem = None;
        while cancelled.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            let synchronising = tokio::task::spawn_blocking(move || {
                let result = self.synchronise(Moment::Running);
                (self, result)
            });
            let Ok((folder, result)) = synchronising.await else { return };
            self = folder;
            let problem = result.err().map(|error| error.to_string());
            if problem != last_problem {
                match &problem {
                    Some(problem) => tracing::warn!(problem, "the plugin folder is not shared with other hosts now"),
                    None => tracing::info!("the plugin folder is shared with other hosts again"),
                }
            }
            last_problem = problem;
        }
    }

    /// Compares each file. A file that cannot be used does not stop the others.
    fn synchronise(&mut self, moment: Moment) -> Result<(), SharedFolderError<S::Error>> {
        let stored = self.store.list().map_err(SharedFolderError::Store)?;
        let stored: BTreeMap<String, StoredFile> = stored.into_iter().map(|file| (file.name.clone(), file)).collect();
        let local = self.scan()?;
        let shared = || self.synchronised.iter().filter(|(_, file)| file.digest.is_some());
        let has_lost_all = shared().count() > 0 && shared().all(|(name, _)| !local.contains_key(name));
        let moment = if has_lost_all { Moment::Start } else { moment };
        let names: BTreeSet<String> =
            stored.keys().chain(local.keys()).chain(self.synchronised.keys()).cloned().collect();
        let (before, mut failure) = (self.synchronised.clone(), None);
        // Sidecars come before components in this order, so a component never runs without its new sidecar.
        for name in &names {
            let result = self.synchronise_file(name, stored.get(name), local.get(name), moment);
            failure = failure.or(result.err());
        }
        self.missing = names.into_iter().filter(|name| !local.contains_key(name)).collect();
        if self.synchronised != before {
            // A record is JSON of strings and numbers.
            let record = serde_json::to_vec_pretty(&self.synchronised).unwrap_or_default();
            files::write_durably(&self.record, &record).map_err(|error| unusable(&self.record, error))?;
        }
        failure.map_or(Ok(()), Err)
    }

    fn synchronise_file(
        &mut self,
        name: &str,
        stored: Option<&StoredFile>,
        local: Option<&LocalFile>,
        moment: Moment,
    ) -> Result<(), SharedFolderError<S::Error>> {
        let known = self.synchronised.get(name).cloned();
        // A store that does not know the file is a new one.
        let base = known.filter(|_| stored.is_some()).unwrap_or(Synchronised { generation: 0, digest: None });
        let (digest, is_settled) = match local {
            Some(LocalFile::Readable { digest, is_settled }) => (Some(digest.clone()), *is_settled),
            Some(LocalFile::Unreadable(reason)) => {
                return Err(unusable(&self.folder.join(name), io::Error::other(reason.clone())));
            }
            None => (None, self.missing.contains(name)),
        };
        let is_changed_here = digest != base.digest;
        match stored {
            Some(stored) if stored.generation != base.generation || stored.digest != base.digest => {
                if is_changed_here && digest != stored.digest && digest.is_some() && base.generation > 0 {
                    tracing::warn!(file = name, "another host has changed this file, too; its change counts");
                }
                self.take_over(stored, digest.as_deref())
            }
            Some(stored) if is_changed_here && digest.is_none() && moment == Moment::Start => {
                self.take_over(stored, None)
            }
            _ if is_changed_here && is_settled => self.publish(name, base.generation, digest),
            _ => Ok(()),
        }
    }

    /// Replaces a local file by that of the store.
    fn take_over(&mut self, stored: &StoredFile, digest: Option<&str>) -> Result<(), SharedFolderError<S::Error>> {
        let (name, path) = (&stored.name, self.folder.join(&stored.name));
        if stored.digest.as_deref() != digest {
            // The content may be newer than the generation that is known. The next comparison finds that.
            match self.store.read(name).map_err(SharedFolderError::Store)? {
                Some(bytes) => files::write_durably(&path, &bytes).map_err(|error| unusable(&path, error))?,
                None => match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&path, error)),
                    _ => {}
                },
            }
            let generation = stored.generation;
            match (digest.is_some(), stored.digest.is_some()) {
                (false, _) => tracing::info!(file = name, generation, "took over a plugin file of another host"),
                (true, true) => {
                    tracing::warn!(file = name, generation, "replaced a plugin file by that of another host")
                }
                (true, false) => {
                    tracing::warn!(file = name, generation, "removed a plugin file, because another host did")
                }
            }
        }
        let synchronised = Synchronised { generation: stored.generation, digest: stored.digest.clone() };
        self.synchronised.insert(name.clone(), synchronised);
        Ok(())
    }

    /// Stores a file that was changed here.
    fn publish(
        &mut self,
        name: &str,
        base: FileGeneration,
        digest: Option<String>,
    ) -> Result<(), SharedFolderError<S::Error>> {
        let path = self.folder.join(name);
        let bytes = match &digest {
            Some(digest) => {
                let bytes = std::fs::read(&path).map_err(|error| unusable(&path, error))?;
                // It was changed after the scan.
                if Digest::of(&bytes).as_str() != digest {
                    return Ok(());
                }
                Some(bytes)
            }
            None => None,
        };
        let content = digest.as_deref().zip(bytes.as_deref());
        let stored = self.store.put(name, base, content).map_err(SharedFolderError::Store)?;
        // Otherwise, another host was faster. The next comparison takes its file over.
        if let Some(generation) = stored {
            match &digest {
                Some(_) => tracing::info!(file = name, generation, "shared a plugin file with the other hosts"),
                None => tracing::info!(file = name, generation, "shared the removal of a plugin file"),
            }
            self.synchronised.insert(name.to_owned(), Synchronised { generation, digest });
        }
        Ok(())
    }

    /// The plugin files in the folder.
    fn scan(&mut self) -> Result<BTreeMap<String, LocalFile>, SharedFolderError<S::Error>> {
        let failed = |error| unusable(&self.folder, error);
        let (mut local, mut digests) = (BTreeMap::new(), BTreeMap::new());
        for entry in self.folder.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(name) = entry.file_name().to_str().filter(|name| is_plugin_file(name)).map(str::to_owned) else {
                continue;
            };
            let file = match self.look_at(&name, &entry.path()) {
                Ok((stamp, digest, is_settled)) => {
                    digests.insert(name.clone(), (stamp, digest.clone()));
                    LocalFile::Readable { digest, is_settled }
                }
                Err(error) => LocalFile::Unreadable(error.to_string()),
            };
            local.insert(name, file);
        }
        self.digests = digests;
        Ok(local)
    }

    /// The stamp and the digest of a file, and whether it is unchanged since the last scan.
    fn look_at(&self, name: &str, path: &Path) -> io::Result<(Stamp, String, bool)> {
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
        }
        let stamp = Stamp { bytes: metadata.len(), modified: metadata.modified()? };
        match self.digests.get(name).filter(|(known, _)| *known == stamp) {
            Some((_, digest)) => Ok((stamp, digest.clone(), true)),
            None => Ok((stamp, Digest::of(&std::fs::read(path)?).as_str().to_owned(), false)),
        }
    }
}

/// A file in the folder.
#[derive(Debug)]
enum LocalFile {
    Readable {
        digest: String,
        /// Whether it is unchanged since the last scan. Otherwise, it may still be written.
        is_settled: bool,
    },
    /// It is there and cannot be shared, for this reason.
    Unreadable(String),
}

fn unusable<E: std::error::Error>(path: &Path, error: io::Error) -> SharedFolderError<E> {
    SharedFolderError::Folder(path.display().to_string(), error)
}

/// Whether a file is a component or a sidecar.
fn is_plugin_file(name: &str) -> bool {
    let stem = name.strip_suffix(".wasm").or_else(|| name.strip_suffix(".toml"));
    stem.is_some_and(|stem| check_stem(stem.as_ref()).is_ok())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;

    use super::*;

    /// The content of a file, by its name, with its generation.
    type Files = BTreeMap<String, (FileGeneration, Option<Vec<u8>>)>;

    #[derive(Clone, Debug, Default)]
    struct MemoryStore(Arc<Mutex<(FileGeneration, Files)>>);

    impl FileStore for MemoryStore {
        type Error = Infallible;

        fn list(&mut self) -> Result<Vec<StoredFile>, Infallible> {
            let store = self.0.lock().unwrap();
            let file = |(name, (generation, content)): (&String, &(FileGeneration, Option<Vec<u8>>))| StoredFile {
                name: name.clone(),
                generation: *generation,
                digest: content.as_ref().map(|bytes| Digest::of(bytes).as_str().to_owned()),
            };
            Ok(store.1.iter().map(file).collect())
        }

        fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Infallible> {
            Ok(self.0.lock().unwrap().1.get(name).and_then(|(_, content)| content.clone()))
        }

        fn put(
            &mut self,
            name: &str,
            base: FileGeneration,
            content: Option<(&str, &[u8])>,
        ) -> Result<Option<FileGeneration>, Infallible> {
            let mut store = self.0.lock().unwrap();
            if store.1.get(name).map_or(0, |(generation, _)| *generation) != base {
                return Ok(None);
            }
            store.0 += 1;
            let generation = store.0;
            store.1.insert(name.to_owned(), (generation, content.map(|(_, bytes)| bytes.to_vec())));
            Ok(Some(generation))
        }
    }

    struct TestHost {
        directory: TempDir,
        shared: SharedFolder<MemoryStore>,
    }

    impl TestHost {
        fn new(store: &MemoryStore) -> Self {
            let directory = tempfile::tempdir().unwrap();
            std::fs::create_dir(directory.path().join("plugins")).unwrap();
            let shared = Self::open(&directory, store);
            Self { directory, shared }
        }

        fn open(directory: &TempDir, store: &MemoryStore) -> SharedFolder<MemoryStore> {
            SharedFolder::new(&directory.path().join("plugins"), directory.path(), store.clone())
        }

        /// Starts the host again.
        fn restart(self) -> Self {
            let store = self.shared.store.clone();
            let mut shared = Self::open(&self.directory, &store);
            shared.synchronise_at_start().unwrap();
            Self { shared, ..self }
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.directory.path().join("plugins").join(name), content).unwrap();
        }

        fn remove(&self, name: &str) {
            std::fs::remove_file(self.directory.path().join("plugins").join(name)).unwrap();
        }

        fn read(&self, name: &str) -> Option<String> {
            std::fs::read_to_string(self.directory.path().join("plugins").join(name)).ok()
        }

        /// Synchronises twice, because a new file waits for one scan.
        fn synchronise(&mut self) {
            self.shared.synchronise(Moment::Running).unwrap();
            self.shared.synchronise(Moment::Running).unwrap();
        }
    }

    fn hosts() -> (MemoryStore, TestHost, TestHost) {
        let store = MemoryStore::default();
        let (one, other) = (TestHost::new(&store), TestHost::new(&store));
        (store, one, other)
    }

    #[test]
    fn a_file_that_one_host_gets_reaches_the_other_and_so_does_its_removal() {
        let (_, mut one, mut other) = hosts();
        one.write("a.wasm", "1");
        one.write("a.toml", "limits");
        one.write("notes.txt", "private");
        one.synchronise();
        other.synchronise();
        assert_eq!((other.read("a.wasm").as_deref(), other.read("a.toml").as_deref()), (Some("1"), Some("limits")));
        assert_eq!(other.read("notes.txt"), None);
        other.write("a.wasm", "22");
        other.synchronise();
        one.synchronise();
        assert_eq!(one.read("a.wasm").as_deref(), Some("22"));
        one.remove("a.toml");
        one.synchronise();
        other.synchronise();
        assert_eq!((other.read("a.wasm").as_deref(), other.read("a.toml")), (Some("22"), None));
    }

    #[test]
    fn a_folder_never_replaces_a_newer_generation() {
        let (store, mut one, mut other) = hosts();
        one.write("a.wasm", "1");
        one.synchronise();
        other.synchronise();
        other.write("a.wasm", "22");
        other.synchronise();
        // A host that was away has an older file, whether it has changed it or not.
        one.write("a.wasm", "333");
        let one = one.restart();
        assert_eq!(one.read("a.wasm").as_deref(), Some("22"));
        // A new host with an old folder.
        let new = TestHost::new(&store);
        new.write("a.wasm", "1");
        assert_eq!(new.restart().read("a.wasm").as_deref(), Some("22"));
    }

    #[test]
    fn what_is_missing_at_the_start_is_restored_and_what_was_changed_is_shared() {
        let (_, mut one, mut other) = hosts();
        one.write("a.wasm", "1");
        one.write("b.wasm", "1");
        one.synchronise();
        one.remove("a.wasm");
        one.write("b.wasm", "22");
        let mut one = one.restart();
        assert_eq!(one.read("a.wasm").as_deref(), Some("1"));
        one.synchronise();
        other.synchronise();
        assert_eq!((other.read("a.wasm").as_deref(), other.read("b.wasm").as_deref()), (Some("1"), Some("22")));
    }

    #[test]
    fn of_two_changes_at_once_one_counts_on_both_hosts() {
        let (_, mut one, mut other) = hosts();
        one.write("a.wasm", "1");
        one.synchronise();
        other.synchronise();
        one.write("a.wasm", "22");
        other.write("a.wasm", "333");
        one.synchronise();
        other.synchronise();
        one.synchronise();
        assert_eq!((one.read("a.wasm").as_deref(), other.read("a.wasm").as_deref()), (Some("22"), Some("22")));
    }

    #[test]
    fn a_folder_that_has_lost_everything_is_restored() {
        let (_, mut one, mut other) = hosts();
        one.write("a.wasm", "1");
        one.write("b.wasm", "1");
        one.synchronise();
        other.synchronise();
        other.remove("a.wasm");
        other.remove("b.wasm");
        other.synchronise();
        one.synchronise();
        for host in [&one, &other] {
            assert_eq!((host.read("a.wasm").as_deref(), host.read("b.wasm").as_deref()), (Some("1"), Some("1")));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_alone_and_stops_no_other() {
        let (_, mut one, mut other) = hosts();
        one.write("a.wasm", "1");
        one.write("b.wasm", "1");
        one.synchronise();
        other.synchronise();
        other.remove("a.wasm");
        std::fs::create_dir(other.directory.path().join("plugins/a.wasm")).unwrap();
        one.write("b.wasm", "22");
        one.synchronise();
        assert!(other.shared.synchronise(Moment::Running).unwrap_err().to_string().contains("a.wasm"));
        one.synchronise();
        assert_eq!((one.read("a.wasm").as_deref(), other.read("b.wasm").as_deref()), (Some("1"), Some("22")));
        // Nor does it keep the host from starting.
        drop(other.restart());
    }

    #[test]
    fn a_new_store_gets_all_files_and_an_older_one_counts() {
        let (store, mut one, _) = hosts();
        one.write("a.wasm", "1");
        one.synchronise();
        let backup = store.0.lock().unwrap().clone();
        one.write("a.wasm", "22");
        one.synchronise();
        *store.0.lock().unwrap() = backup;
        one.synchronise();
        assert_eq!(one.read("a.wasm").as_deref(), Some("1"));
        *store.0.lock().unwrap() = (0, Files::new());
        one.synchronise();
        assert_eq!(store.0.lock().unwrap().1.len(), 1);
    }

    #[test]
    fn a_file_that_is_being_written_waits() {
        let (store, mut one, _) = hosts();
        one.write("a.wasm", "half");
        one.shared.synchronise(Moment::Running).unwrap();
        assert!(store.0.lock().unwrap().1.is_empty());
        one.write("a.wasm", "nearly all");
        one.shared.synchronise(Moment::Running).unwrap();
        assert!(store.0.lock().unwrap().1.is_empty());
        one.shared.synchronise(Moment::Running).unwrap();
        assert_eq!(store.0.lock().unwrap().1.len(), 1, "it has not changed since the last comparison");
    }
}
