//! Copies a project's sidecar into the folder of its component.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::Error;
use crate::build_profile::BuildProfile;
use crate::error::at;
use crate::files::read_if_exists;
use crate::project::Project;
use crate::sidecar_overlay::sidecar_text;

/// The owner of the sidecars in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderOwner {
    /// The build: the sidecars are copies of the projects'.
    Build,
    /// An operator, whose sidecars are never changed.
    Operator,
}

/// What has happened to a project's sidecar in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SidecarUpdate {
    /// Neither the project nor the folder has a sidecar.
    Absent,
    /// The folder already has the project's sidecar.
    Unchanged,
    /// The project's sidecar was copied.
    Copied,
    /// The folder's sidecar was removed, since the project has none.
    Removed,
    /// The folder has an operator's sidecar, which differs from the project's.
    LeftToOperator,
}

impl Project {
    /// Copies the project's sidecar into the folder of its component, atomically. An operator's sidecar is not changed.
    /// A quick build applies the project's overlay for development.
    ///
    /// # Errors
    /// If the sidecar or its overlay cannot be read, or the folder cannot be written.
    pub fn install_sidecar(
        &self,
        folder: &Path,
        profile: BuildProfile,
        owner: FolderOwner,
    ) -> Result<SidecarUpdate, Error> {
        let (from, to) = (self.sidecar(), folder.join(format!("{}.toml", self.stem())));
        let (own, present) = (sidecar_text(&from, profile)?, read_if_exists(&to)?);
        match (own, present) {
            (Some(own), Some(present)) if own == present => Ok(SidecarUpdate::Unchanged),
            (Some(_), Some(_)) | (None, Some(_)) if owner == FolderOwner::Operator => Ok(SidecarUpdate::LeftToOperator),
            (Some(own), _) => write(&to, &own).map(|()| SidecarUpdate::Copied),
            (None, Some(_)) => fs::remove_file(&to).map_err(at(&to)).map(|()| SidecarUpdate::Removed),
            (None, None) => Ok(SidecarUpdate::Absent),
        }
    }
}

/// Writes a file that only its owner may read, since it may contain secrets.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let partial = path.with_extension("toml.partial");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    file.and_then(|mut file| file.write_all(bytes)).map_err(at(&partial))?;
    fs::rename(&partial, path).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    /// The folder after an update, by its owner and by the sidecars before.
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
                single_file: None,
            };
            let found = project.install_sidecar(folder.path(), BuildProfile::Release, owner).unwrap();
            assert_eq!(found, placed, "{owner:?} {own:?} {present:?}");
            assert_eq!(fs::read_to_string(folder.path().join("a-b.toml")).ok().as_deref(), after, "{placed:?}");
        }
    }
}
