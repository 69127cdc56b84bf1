//! The plugin folder: which files it has, and whether they have changed or are still being written.
//!
//! Symbolic links are followed only within the folder and into configured directories, because others could lead
//! anywhere. A file that looks like a plugin and cannot be one is reported with the reason. A sidecar whose link is not
//! followed counts as unreadable, and not as missing: without its sidecar, the plugin would have more rights than its
//! operator grants.
//!
//! The files of a plugin include those that its secrets are read from.
//!
//! A failure to read the folder or one of its entries is an error of the whole scan. It must not look as if files had
//! been removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::file_name;
use crate::files::links::LinkRoots;
use crate::plugin::load::source::{
    self, SIDECAR_LIMIT_BYTES, SourceError, Symlinks, irregular, read_sidecar_of_folder,
};
use crate::plugin::manifest::digest::Digest;
use crate::plugin::manifest::sidecar::Sidecar;
use crate::secrets::SecretStore;

/// The plugin folder.
#[derive(Clone, Debug)]
pub(crate) struct PluginFolder {
    path: PathBuf,
    rules: Arc<ArcSwap<FolderRules>>,
    /// The files that the secrets of each sidecar are read from, by the stem of the plugin's file.
    secret_files: Arc<Mutex<HashMap<String, SecretFiles>>>,
}

/// The rules for links and secrets of the files in the folder.
#[derive(Debug)]
struct FolderRules {
    links: LinkRoots,
    secrets: SecretStore,
}

impl FolderRules {
    /// Links may lead into the folder itself and into other directories.
    fn new(path: &Path, link_roots: &[PathBuf], secrets: SecretStore) -> Self {
        Self {
            links: LinkRoots::new(link_roots.iter().map(PathBuf::as_path).chain([path]).map(Path::to_owned)),
            secrets,
        }
    }
}

/// The files that the secrets of a sidecar are read from.
#[derive(Clone, Debug)]
struct SecretFiles {
    /// The sidecar that names them.
    sidecar: Stamp,
    files: Vec<PathBuf>,
}

impl PluginFolder {
    /// A plugin folder. Links may lead into it and into these directories.
    pub(crate) fn new(path: PathBuf, link_roots: &[PathBuf], secrets: SecretStore) -> Self {
        let rules = FolderRules::new(&path, link_roots, secrets);
        Self { path, rules: Arc::new(ArcSwap::from_pointee(rules)), secret_files: Arc::default() }
    }

    /// Replaces the rules for links and secrets.
    pub(crate) fn set_rules(&self, link_roots: &[PathBuf], secrets: SecretStore) {
        self.rules.store(Arc::new(FolderRules::new(&self.path, link_roots, secrets)));
        self.secret_files.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a component.
    pub(crate) fn wasm_path(&self, stem: &str) -> PathBuf {
        self.path.join(format!("{stem}.wasm"))
    }

    /// The path of a sidecar.
    pub(crate) fn sidecar_path(&self, stem: &str) -> PathBuf {
        self.path.join(format!("{stem}.toml"))
    }

    /// Reads the text of a sidecar. Blocks.
    ///
    /// # Errors
    /// If it does not exist, or cannot be read.
    pub(crate) fn read_sidecar(&self, stem: &str) -> io::Result<String> {
        read_sidecar_of_folder(&self.sidecar_path(stem), &self.rules.load().links)
    }

    /// Reads the bytes of a sidecar; the inner error is the size of one that is too large. Blocks.
    ///
    /// # Errors
    /// If it does not exist, or cannot be read.
    pub(crate) fn read_sidecar_bytes(&self, stem: &str) -> io::Result<Result<Vec<u8>, u64>> {
        let rules = self.rules.load();
        source::read(&self.sidecar_path(stem), Symlinks::Within(&rules.links), SIDECAR_LIMIT_BYTES)
    }

    /// Reads a component. Blocks.
    ///
    /// # Errors
    /// If it cannot be read, or cannot be a plugin.
    pub(crate) fn read_component(&self, stem: &str) -> Result<Vec<u8>, SourceError> {
        source::read_plugin(&self.wasm_path(stem), Symlinks::Within(&self.rules.load().links))
    }

    /// The digest of a file in the folder. Blocks.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn digest(&self, path: &Path) -> io::Result<Digest> {
        source::digest(path, Symlinks::Within(&self.rules.load().links))
    }

    /// The metadata of the file that an entry leads to, or of the entry itself if its link is not followed.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        let absent = |result: io::Result<Metadata>| match result {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(about(&file_name::printable(path.file_name().unwrap_or_default()), &error)),
        };
        let own = absent(path.symlink_metadata())?;
        if own.as_ref().is_none_or(|own| !own.is_symlink()) {
            return Ok(own);
        }
        match self.rules.load().links.resolve(path) {
            Ok(file) => absent(file.symlink_metadata()),
            Err(_) => Ok(own),
        }
    }

    /// The files that the secrets of a plugin are read from. Reads a sidecar again only after it has changed.
    fn secret_files(&self, stem: &str, sidecar: Option<&Stamp>) -> Vec<PathBuf> {
        let Some(sidecar) = sidecar else { return Vec::new() };
        let mut cached = self.secret_files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.get(stem).filter(|cached| cached.sidecar == *sidecar) {
            return cached.files.clone();
        }
        let secrets = &self.rules.load().secrets;
        // A sidecar that cannot be parsed is reported when it is loaded.
        let parsed = self.read_sidecar(stem).ok().and_then(|text| Sidecar::parse(&text).ok()).unwrap_or_default();
        let files: Vec<_> = parsed.secrets().filter_map(|source| secrets.file_of(source)).collect();
        cached.insert(stem.to_owned(), SecretFiles { sidecar: sidecar.clone(), files: files.clone() });
        files
    }
}

/// The identity of a directory. It changes if another directory takes its place, or if a file system is mounted on it
/// or unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FolderId {
    device: u64,
    inode: u64,
}

impl FolderId {
    fn of(folder: &Path) -> io::Result<Self> {
        let metadata = folder.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// A component's file, its sidecar and the files of its secrets, as they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFingerprint {
    wasm: Stamp,
    sidecar: Option<Stamp>,
    /// `None` for a file that is missing or cannot be read.
    secrets: Vec<Option<Stamp>>,
}

/// Metadata that changes when a file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// The time of the last change of content or metadata, in seconds and nanoseconds. Unlike the modification time it
    /// cannot be set back (inode(7)), so it reveals a file that was overwritten in place.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// A time in the future counts as old.
    fn is_older_than(&self, age: Duration) -> bool {
        self.modified.is_none_or(|modified| modified.elapsed().map_or(true, |elapsed| elapsed >= age))
    }
}

impl FileFingerprint {
    /// Whether none of the files was written to recently.
    pub(crate) fn is_stable(&self, quiet: Duration) -> bool {
        let others = self.sidecar.iter().chain(self.secrets.iter().flatten());
        others.chain([&self.wasm]).all(|stamp| stamp.is_older_than(quiet))
    }

    /// The size of the component's file.
    pub(crate) fn wasm_bytes(&self) -> u64 {
        self.wasm.length
    }

    /// Whether there is a sidecar.
    pub(crate) fn has_sidecar(&self) -> bool {
        self.sidecar.is_some()
    }
}

/// The content of a plugin folder.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) folder: FolderId,
    /// The plugins, by the stems of their files.
    pub(crate) found: BTreeMap<String, FileFingerprint>,
    /// Files that look like plugins and are ignored, by their printable names, each with the reason.
    pub(crate) ignored: BTreeMap<String, String>,
}

/// Scans a folder. Hidden files, and files that do not look like plugins, are omitted. Of names that differ only in
/// case one is accepted: a `previous` one, or else the first.
///
/// # Errors
/// If the folder or one of its entries cannot be read.
pub(crate) fn scan(folder: &PluginFolder, previous: &BTreeSet<String>) -> io::Result<Scan> {
    let directory = folder.path();
    let mut scan = Scan { folder: FolderId::of(directory)?, found: BTreeMap::new(), ignored: BTreeMap::new() };
    let mut sidecars = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), file_name::printable(&entry.file_name()));
        if name.starts_with('.') {
            continue;
        }
        let file_type = match entry.file_type() {
            Ok(file_type) => file_type,
            // The file was removed during the scan.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(about(&name, &error)),
        };
        let file_type = if file_type.is_symlink() {
            folder
                .rules
                .load()
                .links
                .resolve(&path)
                .and_then(|file| Ok(file.symlink_metadata()?.file_type()))
                .unwrap_or(file_type)
        } else {
            file_type
        };
        let is_dangling = file_type.is_symlink() && !path.exists();
        match entry_kind(&path, file_type) {
            EntryKind::Ignored(_) if is_dangling => {
                scan.ignored.insert(name, "it is a symbolic link to a file that does not exist".to_owned());
            }
            EntryKind::Plugin(stem) => {
                if let Some(fingerprint) = fingerprint(folder, &stem)? {
                    scan.found.insert(stem, fingerprint);
                }
            }
            EntryKind::Sidecar(stem) => drop(sidecars.insert(stem)),
            EntryKind::Ignored(reason) => drop(scan.ignored.insert(name, reason.to_owned())),
            EntryKind::Other => {}
        }
    }
    if FolderId::of(directory)? != scan.folder {
        return Err(io::Error::other("the folder was replaced while it was read"));
    }
    let names = scan.found.keys().map(String::as_str);
    for (stem, other) in file_name::case_conflicts(names, previous) {
        scan.found.remove(&stem);
        let reason = format!("its name differs from {other}.wasm only in case; rename one of the files");
        scan.ignored.insert(format!("{stem}.wasm"), reason);
    }
    for stem in sidecars.into_iter().filter(|stem| !scan.found.contains_key(stem)) {
        // A plugin that is ignored has its own entry.
        if !scan.ignored.contains_key(&format!("{stem}.wasm")) {
            scan.ignored.insert(format!("{stem}.toml"), format!("it is a sidecar without a plugin {stem}.wasm"));
        }
    }
    Ok(scan)
}

/// The kinds of entries in the folder.
enum EntryKind {
    Plugin(String),
    /// A sidecar, by its printable stem.
    Sidecar(String),
    Ignored(&'static str),
    Other,
}

fn entry_kind(path: &Path, file_type: FileType) -> EntryKind {
    let (extension, stem) = (path.extension().unwrap_or_default(), path.file_stem().unwrap_or_default());
    if !extension.eq_ignore_ascii_case("wasm") {
        let is_sidecar = extension == "toml";
        return if is_sidecar { EntryKind::Sidecar(file_name::printable(stem)) } else { EntryKind::Other };
    }
    match (irregular(file_type), file_name::check_stem(stem)) {
        (Some(reason), _) => EntryKind::Ignored(reason),
        (None, _) if extension != "wasm" => {
            EntryKind::Ignored("its name does not end in .wasm in lower case; rename it")
        }
        (None, Err(reason)) => EntryKind::Ignored(reason),
        (None, Ok(stem)) => EntryKind::Plugin(stem.to_owned()),
    }
}

/// The fingerprint of a plugin's files; `None` if the component's file is missing or is not a regular file.
///
/// # Errors
/// If the system cannot tell.
pub(crate) fn fingerprint(folder: &PluginFolder, stem: &str) -> io::Result<Option<FileFingerprint>> {
    let Some(wasm) = folder.metadata(&folder.wasm_path(stem))?.filter(Metadata::is_file) else { return Ok(None) };
    let sidecar = folder.metadata(&folder.sidecar_path(stem))?.as_ref().map(Stamp::of);
    let secrets = folder.secret_files(stem, sidecar.as_ref());
    let secrets = secrets.iter().map(|file| file.metadata().ok().as_ref().map(Stamp::of)).collect();
    Ok(Some(FileFingerprint { wasm: Stamp::of(&wasm), sidecar, secrets }))
}

fn about(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{File, Permissions};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn folder(path: &Path) -> PluginFolder {
        PluginFolder::new(path.to_owned(), &[], SecretStore::default())
    }

    fn scan(path: &Path, known: &BTreeSet<String>) -> io::Result<Scan> {
        super::scan(&folder(path), known)
    }

    fn fingerprint(path: &Path, stem: &str) -> io::Result<Option<FileFingerprint>> {
        super::fingerprint(&folder(path), stem)
    }

    fn names<T>(all: &BTreeMap<String, T>) -> Vec<&str> {
        all.keys().map(String::as_str).collect()
    }

    #[test]
    fn regular_wasm_files_are_found_and_lookalikes_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in
            ["a.wasm", "a.toml", "b.txt", ".c.wasm", ".d.wasm.part", "e.wasm.part", "F.WASM", "g.Wasm", "h.toml"]
        {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::write(folder.path().join(OsStr::from_bytes(b"n\xff.wasm")), "").unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), path("link.wasm")).unwrap();
        std::os::unix::fs::symlink("a.wasm", path("within.wasm")).unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("dangling.wasm")).unwrap();
        std::fs::write(path("link.toml"), "").unwrap();
        std::fs::create_dir(path("dir.wasm")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe.wasm"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let _socket = UnixListener::bind(path("socket.wasm")).unwrap();

        let Scan { found, ignored, .. } = scan(folder.path(), &BTreeSet::new()).unwrap();
        assert_eq!(names(&found), ["a", "within"]);
        assert!(found["a"].has_sidecar() && found["a"].is_stable(Duration::ZERO));
        assert!(!found["a"].is_stable(Duration::from_hours(1)));
        let expected = [
            ("F.WASM", "lower case"),
            ("dangling.wasm", "symbolic link"),
            ("dir.wasm", "directory"),
            ("g.Wasm", "lower case"),
            ("h.toml", "without a plugin h.wasm"),
            ("link.wasm", "symbolic link"),
            ("n\\xff.wasm", "UTF-8"),
            ("pipe.wasm", "named pipe"),
            ("socket.wasm", "socket"),
        ];
        assert_eq!(names(&ignored), expected.map(|(name, _)| name));
        for (name, reason) in expected {
            assert!(ignored[name].contains(reason), "{name}: {}", ignored[name]);
        }
    }

    /// Kubernetes shows the files of a volume through links, and replaces them all by one other link.
    #[test]
    fn links_within_the_folder_and_into_configured_directories_are_followed() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for directory in ["plugins", "plugins/..1", "plugins/..2", "artifacts", "other"] {
            std::fs::create_dir(path(directory)).unwrap();
        }
        for file in [
            "plugins/..1/a.wasm",
            "plugins/..1/a.toml",
            "plugins/..2/a.wasm",
            "plugins/..2/a.toml",
            "artifacts/b.wasm",
            "other/c.wasm",
        ] {
            std::fs::write(path(file), file).unwrap();
        }
        let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, path(name)).unwrap();
        link(Path::new("..1"), "plugins/..data");
        link(Path::new("..data/a.wasm"), "plugins/a.wasm");
        link(Path::new("..data/a.toml"), "plugins/a.toml");
        link(&path("artifacts/b.wasm"), "plugins/b.wasm");
        link(&path("other/c.wasm"), "plugins/c.wasm");
        let folder = PluginFolder::new(path("plugins"), &[path("artifacts")], SecretStore::default());
        let found = || super::scan(&folder, &BTreeSet::new()).unwrap();
        let before = found();
        assert_eq!((names(&before.found), names(&before.ignored)), (vec!["a", "b"], vec!["c.wasm"]));
        assert!(before.found["a"].has_sidecar());
        assert_eq!(folder.read_sidecar("a").unwrap(), "plugins/..1/a.toml");
        link(Path::new("..2"), "plugins/..new");
        std::fs::rename(path("plugins/..new"), path("plugins/..data")).unwrap();
        assert_ne!(found().found["a"], before.found["a"]);
        assert_eq!(found().found["b"], before.found["b"]);
        assert_eq!(folder.read_sidecar("a").unwrap(), "plugins/..2/a.toml");
    }

    #[test]
    fn a_changed_secret_is_a_change_of_the_plugin() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::write(path("a.wasm"), "1").unwrap();
        std::fs::write(path("a.toml"), format!("[config]\nkey = {{ file = \"{}\" }}\n", path("key").display()))
            .unwrap();
        let folder = folder(home.path());
        let found = || super::fingerprint(&folder, "a").unwrap().unwrap();
        let missing = found();
        assert_eq!(missing, found());
        std::fs::write(path("key"), "one").unwrap();
        let first = found();
        assert_ne!(first, missing);
        std::fs::write(path("key.new"), "two").unwrap();
        std::fs::rename(path("key.new"), path("key")).unwrap();
        assert_ne!(found(), first);
        // The sidecar names another file now.
        std::fs::write(path("a.toml"), "[config]\nkey = \"text\"\n# a comment\n").unwrap();
        let without = found();
        std::fs::write(path("key"), "three").unwrap();
        assert_eq!(found(), without);
    }

    #[test]
    fn a_changed_file_looks_different() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), "1").unwrap();
        let before = scan(folder.path(), &BTreeSet::new()).unwrap().found;
        std::fs::write(folder.path().join("a.toml"), "").unwrap();
        assert_ne!(scan(folder.path(), &BTreeSet::new()).unwrap().found, before);
    }

    #[test]
    fn a_file_that_is_overwritten_in_place_looks_different_whatever_its_times_say() {
        let folder = tempfile::tempdir().unwrap();
        let (wasm, sidecar) = (folder.path().join("a.wasm"), folder.path().join("a.toml"));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let overwrite = |path: &Path, content: &str| {
            std::fs::write(path, content).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
            fingerprint(folder.path(), "a").unwrap()
        };
        let _ = overwrite(&wasm, "1");
        let first = overwrite(&sidecar, "1").unwrap();
        for path in [&wasm, &sidecar] {
            let before = fingerprint(folder.path(), "a").unwrap().unwrap();
            // The kernel's clock moves in steps of some milliseconds.
            let changed =
                std::iter::repeat_with(|| overwrite(path, "2").unwrap()).find(|found| *found != before).unwrap();
            assert_eq!((changed.wasm.length, changed.wasm.modified), (first.wasm.length, Some(old)));
            assert_eq!(changed.wasm.inode, first.wasm.inode);
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_sidecar_is_seen_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), "1").unwrap();
        let found = || scan(folder.path(), &BTreeSet::new()).unwrap().found;
        let without = found();
        let sidecar = folder.path().join("a.toml");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &sidecar).unwrap();
        assert!(found()["a"].has_sidecar() && found() != without);
        std::fs::remove_file(&sidecar).unwrap();
        assert_eq!(found(), without, "its removal is noticed");
    }

    #[test]
    fn names_that_could_harm_are_reported_in_printable_form() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a\nb.wasm", "a\nb.toml", "-c.wasm", "-c.toml", "D.wasm", "d.wasm", "e\u{1b}.toml", "f..wasm"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let long = format!("{}.wasm", "x".repeat(200));
        std::fs::write(folder.path().join(&long), "").unwrap();
        let Scan { found, ignored, .. } = scan(folder.path(), &BTreeSet::new()).unwrap();
        assert_eq!(names(&found), ["D", "f."]);
        assert_eq!(names(&ignored), ["-c.wasm", "a\\nb.wasm", "d.wasm", "e\\u{1b}.toml", &long]);
        assert!(ignored["d.wasm"].contains("differs from D.wasm only in case"), "{}", ignored["d.wasm"]);
        let known = BTreeSet::from(["d".to_owned()]);
        assert_eq!(names(&scan(folder.path(), &known).unwrap().found), ["d", "f."]);
    }

    /// Runs a closure on a thread that has no privileges. On Linux a user id belongs to a thread (credentials(7)).
    fn unprivileged<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
        let work = move || {
            if rustix::process::getuid().is_root() {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            }
            run()
        };
        std::thread::spawn(work).join().unwrap()
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
        for name in ["missing", "file", "loop", "file/below"] {
            assert!(scan(&path(name), &BTreeSet::new()).is_err(), "{name}");
        }
        // A directory that can be listed but not entered (inode(7)): the metadata of its files is not accessible.
        std::fs::create_dir(path("listed")).unwrap();
        std::fs::write(path("listed/a.wasm"), "1").unwrap();
        let (home_mode, listed_mode) = (Permissions::from_mode(0o755), Permissions::from_mode(0o444));
        std::fs::set_permissions(home.path(), home_mode.clone()).unwrap();
        std::fs::set_permissions(path("listed"), listed_mode).unwrap();
        let listed = path("listed");
        let refused = unprivileged(move || scan(&listed, &BTreeSet::new()).map(|scan| scan.found.len()));
        std::fs::set_permissions(path("listed"), home_mode).unwrap();
        assert!(refused.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied), "{refused:?}");
    }

    #[test]
    fn a_replaced_folder_has_another_identity() {
        let home = tempfile::tempdir().unwrap();
        let (folder, former) = (home.path().join("plugins"), home.path().join("former"));
        std::fs::create_dir(&folder).unwrap();
        let before = scan(&folder, &BTreeSet::new()).unwrap().folder;
        assert_eq!(scan(&folder, &BTreeSet::new()).unwrap().folder, before);
        std::fs::rename(&folder, &former).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert_ne!(scan(&folder, &BTreeSet::new()).unwrap().folder, before);
    }
}
