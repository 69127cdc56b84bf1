//! Reads the archived generations of plugins.

use std::io;

use super::ReconcilerHandle;
use super::loading::run_blocking_io;
use crate::plugin::deploy::generation_record::find_by_prefix;
use crate::plugin::manifest::digest::short;

/// Why an archived generation cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchivedError {
    /// No file in the folder has this plugin.
    #[error("there is no plugin `{0}`")]
    NoPlugin(String),
    /// No archived generation has such a digest, or several have.
    #[error("{0}")]
    NoGeneration(String),
    /// The file of the generation cannot be read.
    #[error("generation {0} cannot be read from the archive: {1}")]
    Unreadable(String, io::Error),
}

impl ReconcilerHandle {
    /// Reads the component of the plugin's archived generation whose digest begins with a prefix. The running
    /// generation is archived, too.
    ///
    /// # Errors
    /// If there is no such generation, or its file cannot be read.
    pub async fn read_archived(&self, plugin: &str, prefix: &str) -> Result<Vec<u8>, ArchivedError> {
        let statuses = self.statuses();
        let found = statuses.into_iter().find(|(_, status)| status.plugin.as_deref() == Some(plugin));
        let (stem, status) = found.ok_or_else(|| ArchivedError::NoPlugin(plugin.to_owned()))?;
        let generation = find_by_prefix(&status.generations, prefix);
        let generation = generation.map_err(|error| ArchivedError::NoGeneration(error.to_string()))?;
        let (archive, digest) = (self.archive.clone(), generation.digest.clone());
        let read = run_blocking_io(move || archive.read(&stem, &digest)).await;
        read.map_err(|error| ArchivedError::Unreadable(short(&generation.digest).to_owned(), error))
    }

    /// The size of the archive of all plugins, in bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn archive_bytes(&self) -> io::Result<u64> {
        let archive = self.archive.clone();
        run_blocking_io(move || archive.size_bytes()).await
    }
}
