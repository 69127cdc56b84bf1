//! Backups of a host: one file with a copy of the store and what belongs to it.
//!
//! A backup is a tar archive. Its last member is the manifest, with the size and the SHA-256 hash of each other member.
//! An archive without a manifest is incomplete and is never restored.

mod error;
mod file;
mod manifest;
mod reader;
mod restore;
mod source;

pub use error::BackupError;
pub use file::{BackupFile, target_in};
pub use manifest::{Manifest, Member};
pub use reader::{check, verify};
pub use restore::{Restored, Target, restore};
pub use source::{BackupSource, Snapshot, back_up_offline};
