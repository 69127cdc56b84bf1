//! A project's sidecar on its way to the component.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::Error;
use crate::project::Project;
use crate::run::{self, at};

/// Whose sidecars a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderOwner {
    /// The build's: they are those of the projects.
    Build,
    /// An operator's, whose word stays.
    Operator,
}

/// What came of a project's sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SidecarUpdate {
    /// There is none, neither in the project nor in the folder.
    Absent,
    /// The folder has it.
    Unchanged,
    /// The folder has it since now.
    Copied,
    /// The folder had one that the project does not have, or has no more.
    Removed,
    /// The folder has another one, which stays.
    LeftToOperator,
}

impl Project {
    /// Puts its sidecar into the folder of its component, in one step. A sidecar of an operator stays as it is.
    ///
    /// # Errors
    /// If the sidecar cannot be read, or the folder cannot be written.
    pub fn install_sidecar(&self, folder: &Path, owner: FolderOwner) -> Result<SidecarUpdate, Error> {
        let (from, to) = (self.sidecar(), folder.join(format!("{}.toml", self.stem())));
        let (own, present) = (read(&from)?, read(&to)?);
        match (own, present) {
            (Some(own), Some(present)) if own == present => Ok(SidecarUpdate::Unchanged),
            (Some(_), Some(_)) | (None, Some(_)) if owner == FolderOwner::Operator => Ok(SidecarUpdate::LeftToOperator),
            (Some(own), _) => write(&to, &own).map(|()| SidecarUpdate::Copied),
            (None, Some(_)) => fs::remove_file(&to).map_err(at(&to)).map(|()| SidecarUpdate::Removed),
            (None, None) => Ok(SidecarUpdate::Absent),
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match run::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Secrets may stand in it, which are for nobody else to read.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let partial = path.with_extension("toml.partial");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    file.and_then(|mut file| file.write_all(bytes)).map_err(at(&partial))?;
    fs::rename(&partial, path).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Language;

    /// A folder after it was asked for the project's sidecar, by whose it is and by what both had before.
    #[test]
    fn a_sidecar_follows_the_project_unless_it_is_an_operator_s() {
        use FolderOwner::{Build, Operator};
        for (owner, own, present, placed, after) in [
            (Build, None, None, SidecarUpdate::Absent, None),
            (Build, Some("a"), None, SidecarUpdate::Copied, Some("a")),
            (Build, Some("a"), Some("a"), SidecarUpdate::Unchanged, Some("a")),
            (Build, Some("a"), Some("b"), SidecarUpdate::Copied, Some("a")),
            (Build, None, Some("b"), SidecarUpdate::Removed, None),
            (Operator, None, None, SidecarUpdate::Absent, None),
            (Operator, Some("a"), None, SidecarUpdate::Copied, Some("a")),
            (Operator, Some("a"), Some("a"), SidecarUpdate::Unchanged, Some("a")),
            (Operator, Some("a"), Some("b"), SidecarUpdate::LeftToOperator, Some("b")),
            (Operator, None, Some("b"), SidecarUpdate::LeftToOperator, Some("b")),
        ] {
            let (project, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let put = |directory: &Path, text: Option<&str>| {
                text.map(|text| fs::write(directory.join("a-b.toml"), text)).transpose().unwrap();
            };
            put(project.path(), own);
            put(folder.path(), present);
            let project = Project {
                name: "a_b".to_owned(),
                directory: project.path().to_owned(),
                language: Language::Python,
                path_dependencies: Vec::new(),
                package: None,
            };
            let found = project.install_sidecar(folder.path(), owner).unwrap();
            assert_eq!(found, placed, "{owner:?} {own:?} {present:?}");
            assert_eq!(fs::read_to_string(folder.path().join("a-b.toml")).ok().as_deref(), after, "{placed:?}");
        }
    }
}
