//! The files that builds produce.

use std::path::{Path, PathBuf};

use crate::error::at;
use crate::{Error, files};

/// A `.wasm` file that a build produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The name of the cargo target: the crate's, or an example's.
    pub name: String,
    /// Where the file is.
    pub path: PathBuf,
    /// How it runs.
    pub form: ArtifactForm,
}

/// How an artifact runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactForm {
    /// A component that runs anywhere.
    Component,
    /// The program of a script, which runs on the prepared runtime of its SDK on this machine.
    Program,
}

impl Artifact {
    /// The name of the plugin's file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.wasm", self.name.replace('_', "-"))
    }

    /// Copies the file into a folder, atomically, under the plugin's file name. An identical file is left alone, so
    /// that a running host does not load it again. Returns whether the file was written.
    ///
    /// # Errors
    /// If the file cannot be read, or the folder cannot be written.
    pub fn install(&self, folder: &Path) -> Result<bool, Error> {
        let name = self.file_name();
        let (to, partial) = (folder.join(&name), folder.join(format!(".{name}.partial")));
        let bytes = files::read(&self.path).map_err(at(&self.path))?;
        if files::read(&to).is_ok_and(|present| present == bytes) {
            return Ok(false);
        }
        std::fs::write(&partial, bytes).map_err(at(&partial))?;
        std::fs::rename(&partial, &to).map_err(at(&to))?;
        Ok(true)
    }
}
