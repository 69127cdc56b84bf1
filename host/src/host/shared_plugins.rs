//! The plugin folder of a host that shares the work of others: the database has the files of all hosts.

use anyhow::Context as _;

use crate::bus::{PluginFiles, StoreError, StoreUrl};
use crate::config::Config;
use crate::plugin::{FileGeneration, FileStore, SharedFolder, StoredFile};

/// The files in the database.
#[derive(Debug)]
pub(super) struct DatabaseFiles(PluginFiles);

impl FileStore for DatabaseFiles {
    type Error = StoreError;

    fn list(&mut self) -> Result<Vec<StoredFile>, StoreError> {
        let file = |(name, generation, digest)| StoredFile { name, generation, digest };
        Ok(self.0.list()?.into_iter().map(file).collect())
    }

    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read(name)
    }

    fn put(
        &mut self,
        name: &str,
        base: FileGeneration,
        content: Option<(&str, &[u8])>,
    ) -> Result<Option<FileGeneration>, StoreError> {
        self.0.put(name, base, content)
    }
}

/// Makes the plugin folder like those of the other hosts. None if the host does not share their work.
///
/// # Errors
/// If the folder or the database cannot be used.
pub(super) async fn share_plugins(config: &Config) -> anyhow::Result<Option<SharedFolder<DatabaseFiles>>> {
    let (StoreUrl::Postgres(url), Some(_)) = (&config.bus.url, config.cluster.listen) else { return Ok(None) };
    let (url, plugins, data) = (url.clone(), config.plugins.clone(), config.data.clone());
    let sharing = tokio::task::spawn_blocking(move || {
        let files = DatabaseFiles(PluginFiles::new(&url)?);
        let mut folder = SharedFolder::new(&plugins, &data, files);
        folder.synchronise_at_start()?;
        anyhow::Ok(folder)
    });
    Ok(Some(sharing.await?.context("cannot take over the plugins of the other hosts")?))
}
