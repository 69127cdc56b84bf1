//! Adds the SDK to a new crate. The crate becomes a member of a cargo workspace if cargo says that the workspace
//! includes its directory; otherwise it is a workspace of its own.

use std::fs;
use std::path::Path;

use crate::Error;
use crate::cargo::{Workspace, is_workspace};
use crate::error::at;
use crate::files::write_file;
use crate::paths::relative;
use crate::sdk::{Sdk, SdkPlace};

/// The SDK's crate, and the directory that it is written to.
const CRATE: &str = "sandbus-sdk";

/// Finds the SDK for a crate whose directory does not exist yet, and writes it if there is none. The members of a
/// workspace share one SDK: cargo refuses two packages of one name.
///
/// # Errors
/// If the workspace rejects the crate, or files cannot be written.
pub(crate) fn add_sdk(directory: &Path, name: &str) -> Result<SdkPlace, Error> {
    let Some(workspace) = workspace_of(directory, name)? else {
        let path = format!("vendor/{CRATE}");
        Sdk::Rust.write(&directory.join("vendor"))?;
        return Ok(SdkPlace { path, is_own: true });
    };
    // The SDK lies directly below the root: `members` with a glob expects a crate in each directory.
    let sdk = workspace.member(CRATE).map_or_else(|| workspace.root().join(CRATE), Path::to_owned);
    if !sdk.join("Cargo.toml").is_file() {
        Sdk::Rust.write_to(&sdk)?;
    }
    let directory = directory.canonicalize().map_err(at(directory))?;
    Ok(SdkPlace { path: relative(&directory, &sdk).to_string_lossy().into_owned(), is_own: false })
}

/// The cargo workspace that a new crate in a directory becomes a member of. None if the crate is independent.
fn workspace_of(directory: &Path, name: &str) -> Result<Option<Workspace>, Error> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(at(parent))?;
    if !parent.ancestors().any(|above| is_workspace(&above.join("Cargo.toml"))) {
        return Ok(None);
    }
    // Cargo only says which workspace an existing crate belongs to, so a provisional crate is created.
    let manifest = directory.join("Cargo.toml");
    write_file(&manifest, &format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"))?;
    write_file(&directory.join("src/lib.rs"), "")?;
    match Workspace::of(&manifest) {
        // An excluded crate is a workspace of its own.
        Ok(workspace) => Ok(Some(workspace).filter(|workspace| !is_own(workspace, directory))),
        Err(Error::Failed { output, .. }) if output.contains("believes it's in a workspace when it's not") => Ok(None),
        // Without cargo, no workspace can be found.
        Err(Error::Start { .. }) => Ok(None),
        Err(error) => {
            fs::remove_dir_all(directory).map_err(at(directory))?;
            Err(error)
        }
    }
}

fn is_own(workspace: &Workspace, directory: &Path) -> bool {
    directory.canonicalize().is_ok_and(|directory| directory == workspace.root())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The SDK's path in the plugin's manifest, and whether only this plugin uses the SDK.
    type Expected = (&'static str, bool);
    const OWN: Expected = ("vendor/sandbus-sdk", true);
    const SHARED: Expected = ("../sandbus-sdk", false);

    /// For each kind of workspace around two new plugins: where their SDK is, and that cargo accepts the result.
    #[test]
    fn a_crate_joins_the_workspace_that_takes_it_and_stands_by_itself_elsewhere() {
        let package = "[package]\nname = \"app\"\nversion = \"1.0.0\"\n";
        let of_package = "[workspace.package]\nedition = \"2021\"\nversion = \"7.0.0\"\n";
        for (root, expected) in [
            (None, OWN),
            (Some(package.to_owned()), OWN),
            (Some("[workspace]\n".to_owned()), OWN),
            (Some(format!("{package}[workspace]\n{of_package}")), OWN),
            (Some("[workspace]\nmembers = [\"*\"]\n".to_owned()), SHARED),
            (Some(format!("[workspace]\nmembers = [\"*\"]\n{of_package}")), SHARED),
            (Some(format!("{package}[workspace]\nmembers = [\"a\", \"b\"]\n")), SHARED),
            (Some("[workspace]\nmembers = [\"*\"]\nexclude = [\"sandbus-sdk\"]\n".to_owned()), SHARED),
            (Some("[workspace]\nmembers = [\"*\"]\nexclude = [\"a\", \"b\"]\n".to_owned()), OWN),
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = |name: &str| home.path().join(name);
            if let Some(root) = &root {
                write_file(&path("Cargo.toml"), root).unwrap();
                if root.contains("[package]") {
                    write_file(&path("src/lib.rs"), "").unwrap();
                }
            }
            // Cargo requires that members listed by name exist.
            if root.as_ref().is_some_and(|root| root.contains("members = [\"a\"")) {
                for name in ["a", "b"] {
                    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
                    write_file(&path(&format!("{name}/Cargo.toml")), &manifest).unwrap();
                    write_file(&path(&format!("{name}/src/lib.rs")), "").unwrap();
                }
            }
            for name in ["a", "b"] {
                let found = add_sdk(&path(name), name).unwrap_or_else(|error| panic!("{root:?}: {error}"));
                assert_eq!((found.path.as_str(), found.is_own), expected, "{root:?}");
                let alone = if found.is_own { "[workspace]\nexclude = [\"vendor\"]\n" } else { "" };
                let manifest = format!(
                    "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n[dependencies]\nsandbus-sdk = {{ path = \"{}\" }}\n{alone}",
                    found.path
                );
                write_file(&path(&format!("{name}/Cargo.toml")), &manifest).unwrap();
                write_file(&path(&format!("{name}/src/lib.rs")), "").unwrap();
                let at =
                    |manifest: PathBuf| Workspace::of(&manifest).unwrap_or_else(|error| panic!("{root:?}: {error}"));
                at(path(&format!("{name}/Cargo.toml")));
                if root.is_some() {
                    at(path("Cargo.toml"));
                }
            }
        }
    }

    #[test]
    fn an_sdk_that_is_a_member_is_shared_and_a_name_that_is_taken_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let member = |path: &str, name: &str| {
            let manifest = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
            write_file(&home.path().join(path).join("Cargo.toml"), &manifest).unwrap();
            write_file(&home.path().join(path).join("src/lib.rs"), "").unwrap();
        };
        write_file(&home.path().join("Cargo.toml"), "[workspace]\nmembers = [\"*\"]\n").unwrap();
        member("sdk", "sandbus-sdk");
        member("one", "taken");
        let found = add_sdk(&home.path().join("a"), "a").unwrap();
        assert_eq!(found, SdkPlace { path: "../sdk".to_owned(), is_own: false });
        let error = add_sdk(&home.path().join("taken"), "taken").unwrap_err().to_string();
        assert!(error.contains("two packages named `taken`"), "{error}");
        assert!(!home.path().join("taken").exists());
    }
}
