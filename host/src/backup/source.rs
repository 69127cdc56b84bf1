//! Reads what belongs to a host, and writes it as an archive.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::error::BackupError;
use super::manifest::{DATA, FORMAT, Manifest, Member, NAME, PLUGINS, STORE};
use crate::bus::{self, StoreCopy};
use crate::clock::Timestamp;
use crate::files::links::LinkRoots;
use crate::files::sealed::hex;
use crate::ledger;
use crate::lock::Locked;

/// The entries of the data directory that a backup contains, other than the store and the ledger.
const ENTRIES: [&str; 4] = ["audit", "generations", "routes", "tokens.json"];

/// The directories of a host.
#[derive(Clone, Debug)]
pub struct BackupSource {
    /// The data directory.
    pub data: PathBuf,
    /// The directory of the store. None if the store is a database.
    pub store: Option<PathBuf>,
    /// The plugin folder.
    pub plugins: PathBuf,
    /// The directories that links in the plugin folder may lead into, besides the folder itself.
    pub link_roots: Vec<PathBuf>,
}

/// Copies of the databases, from which an archive is written.
#[derive(Debug)]
pub struct Snapshot {
    source: BackupSource,
    made_at: Timestamp,
    copied: StoreCopy,
    store: NamedTempFile,
    ledger: Option<NamedTempFile>,
}

impl BackupSource {
    /// Copies the store, and the ledger if it is wanted. The copy of the store is one committed moment: it contains
    /// every event that was acknowledged before the call. Blocks.
    ///
    /// # Errors
    /// If the store or the ledger cannot be copied.
    pub fn copy(&self, with_ledger: bool, now: Timestamp) -> Result<Snapshot, BackupError> {
        // The copy is written next to the store, because other directories may be in memory.
        let scratch = self.store.as_deref().ok_or(BackupError::StoreIsDatabase)?;
        self.copy_with(bus::copy_store, scratch, with_ledger, now)
    }

    fn copy_with(
        &self,
        copy_store: fn(&Path, &Path) -> Result<StoreCopy, bus::StoreError>,
        scratch: &Path,
        with_ledger: bool,
        now: Timestamp,
    ) -> Result<Snapshot, BackupError> {
        let new_file = || bus::new_copy_file(scratch).map_err(BackupError::of(scratch));
        let directory = self.store.as_deref().ok_or(BackupError::StoreIsDatabase)?;
        let store = new_file()?;
        let copied = copy_store(directory, store.path()).map_err(BackupError::Store)?;
        let mut ledger = None;
        if with_ledger {
            let file = new_file()?;
            let is_copied = ledger::copy_ledger(&self.data, file.path()).map_err(BackupError::Ledger)?;
            ledger = is_copied.then_some(file);
        }
        Ok(Snapshot { source: self.clone(), made_at: now, copied, store, ledger })
    }

    /// The files to back up besides the databases, with their names in the archive. Generations are copied before the
    /// plugin folder. If a file in the folder is replaced between the two, the restored host handles it like a file
    /// that was replaced while the host was stopped.
    fn files(&self) -> Result<Vec<(String, PathBuf)>, BackupError> {
        let mut found = Vec::new();
        for entry in ENTRIES {
            collect(&self.data.join(entry), &format!("{DATA}/{entry}"), &mut found)?;
        }
        let links = LinkRoots::new(self.link_roots.iter().chain([&self.plugins]).cloned());
        for path in entries(&self.plugins)? {
            let is_plugin = path.extension().is_some_and(|extension| extension == "wasm" || extension == "toml");
            match path.file_name().and_then(OsStr::to_str) {
                Some(name) if is_plugin && !name.starts_with('.') => {
                    let file = if path.is_symlink() { links.resolve(&path).ok() } else { Some(path.clone()) };
                    let file = file.filter(|file| file.is_file());
                    found.extend(file.map(|file| (format!("{PLUGINS}/{name}"), file)));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Backs up the data directory of a host that does not run.
///
/// # Errors
/// If a host uses the directory, or it cannot be read, or the archive cannot be written.
pub fn back_up_offline(
    source: &BackupSource,
    scratch: &Path,
    with_ledger: bool,
    now: Timestamp,
    output: impl Write,
) -> Result<Manifest, BackupError> {
    let data = &source.data;
    if !source.store.as_deref().is_some_and(bus::has_store) {
        return Err(BackupError::NoStore(data.clone()));
    }
    let lock = Locked::try_new(data).map_err(BackupError::of(data))?;
    let hint = "omit --data to back it up through its admin interface";
    let _lock = lock.ok_or_else(|| BackupError::InUse { path: data.clone(), hint })?;
    source.copy_with(bus::copy_closed_store, scratch, with_ledger, now)?.write(output)
}

/// The entries of a directory, sorted. A missing one has none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let failed = BackupError::of(directory);
    let read = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(&failed)?,
    };
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(&failed)?;
    paths.sort();
    Ok(paths)
}

/// Collects a file, or the files below a directory. Leaves out files that are being written, and links.
fn collect(path: &Path, name: &str, found: &mut Vec<(String, PathBuf)>) -> Result<(), BackupError> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(BackupError::of(path))?,
    };
    if metadata.is_file() {
        found.push((name.to_owned(), path.to_owned()));
    }
    if metadata.is_dir() {
        for entry in entries(path)? {
            let Some(file) = entry.file_name().and_then(OsStr::to_str) else { continue };
            if !file.contains(".partial-") {
                collect(&entry, &format!("{name}/{file}"), found)?;
            }
        }
    }
    Ok(())
}

impl Snapshot {
    /// Writes the archive. Blocks.
    ///
    /// # Errors
    /// If a file cannot be read, or the output cannot be written.
    pub fn write(self, output: impl Write) -> Result<Manifest, BackupError> {
        let Self { source, made_at, copied, store, ledger } = self;
        let files = source.files()?;
        let mut archive = ArchiveWriter::new(output, made_at);
        archive.append(STORE, store.into_file())?;
        if let Some(ledger) = ledger {
            archive.append(&format!("{DATA}/ledger.db"), ledger.into_file())?;
        }
        for (name, path) in files {
            match File::open(&path) {
                Ok(file) => archive.append(&name, file)?,
                // The oldest generation and the oldest part of the audit log may be deleted at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(BackupError::File { path, error }),
            }
        }
        archive.finish(copied)
    }
}

/// Writes members, and finally the manifest.
struct ArchiveWriter<W: Write> {
    builder: tar::Builder<W>,
    members: Vec<Member>,
    made_at: Timestamp,
}

impl<W: Write> ArchiveWriter<W> {
    fn new(output: W, made_at: Timestamp) -> Self {
        Self { builder: tar::Builder::new(output), members: Vec::new(), made_at }
    }

    fn header(&self, bytes: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(self.made_at.0 / 1_000);
        header
    }

    /// Appends a file with its current length. Bytes that are appended to the file later are left out.
    fn append(&mut self, name: &str, mut file: File) -> Result<(), BackupError> {
        let failed = |error| BackupError::Member { member: name.to_owned(), error };
        file.rewind().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut content = HashingReader { inner: file.take(bytes), hasher: Sha256::new(), bytes: 0 };
        self.builder.append_data(&mut self.header(bytes), name, &mut content).map_err(failed)?;
        if content.bytes != bytes {
            return Err(failed(io::Error::other("the file was truncated while it was read")));
        }
        let sha256 = hex(&content.hasher.finalize());
        self.members.push(Member { name: name.to_owned(), bytes, sha256 });
        Ok(())
    }

    fn finish(mut self, copied: StoreCopy) -> Result<Manifest, BackupError> {
        let manifest = Manifest {
            format: FORMAT,
            sandbus: env!("CARGO_PKG_VERSION").to_owned(),
            data_version: copied.data_version,
            made_at: self.made_at.to_string(),
            position: copied.head.0,
            members: std::mem::take(&mut self.members),
        };
        let failed = |error| BackupError::Member { member: NAME.to_owned(), error };
        let sealed = manifest.seal();
        self.builder.append_data(&mut self.header(sealed.len() as u64), NAME, &sealed[..]).map_err(failed)?;
        self.builder.into_inner().and_then(|mut output| output.flush()).map_err(failed)?;
        Ok(manifest)
    }
}

/// Hashes what is read.
pub(super) struct HashingReader<R> {
    pub(super) inner: R,
    pub(super) hasher: Sha256,
    pub(super) bytes: u64,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
