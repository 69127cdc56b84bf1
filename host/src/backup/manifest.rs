//! The manifest of a backup.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::sealed;

/// The name of the manifest in the archive.
pub(super) const NAME: &str = "manifest.json";
/// The format of backups that this version writes.
pub(super) const FORMAT: u32 = 1;
/// The store in the archive.
pub(super) const STORE: &str = "data/bus.db";
/// The directory of members that belong to the data directory.
pub(super) const DATA: &str = "data";
/// The directory of members that belong to the plugin folder.
pub(super) const PLUGINS: &str = "plugins";

/// The content of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the backup.
    pub format: u32,
    /// The version of Sandbus that made it.
    pub sandbus: String,
    /// The version of the store's tables.
    pub data_version: i64,
    /// When it was made, in RFC 3339.
    pub made_at: String,
    /// The newest position in the log.
    pub position: u64,
    /// The members, in the order of the archive.
    pub members: Vec<Member>,
}

/// A file in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its path in the archive.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 hash of its content, in hexadecimal.
    pub sha256: String,
}

/// The part of a manifest that every format has.
#[derive(Debug, Deserialize)]
pub(super) struct AnyManifest {
    pub(super) format: u32,
    #[serde(default)]
    pub(super) sandbus: String,
}

impl Manifest {
    /// The size of all members.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.bytes).sum()
    }

    /// The number of files of the plugin folder.
    #[must_use]
    pub fn plugin_files(&self) -> usize {
        self.members.iter().filter(|member| member.path_in(PLUGINS).is_some()).count()
    }

    /// The manifest with a checksum.
    pub(super) fn seal(&self) -> Vec<u8> {
        let text = serde_json::to_vec_pretty(self).expect("strings and numbers can be written as JSON");
        sealed::seal(Path::new(NAME), &text)
    }
}

impl Member {
    /// The path below a directory of the archive, if the member is in it.
    pub(super) fn path_in(&self, directory: &str) -> Option<&str> {
        self.name.strip_prefix(directory)?.strip_prefix('/')
    }
}
