//! Adds the SDK to a new crate. The crate becomes a member of a cargo workspace if cargo says that the workspace
//! includes its directory; otherwise it is a workspace of its own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::discover::cargo::Workspace;
use crate::run::at;
use crate::{Error, bundled, discover, vendored};

/// The SDK's crate, and the directory that it is written to.
const CRATE: &str = "sandbus-sdk";

/// The SDK that a new crate depends on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sdk {
    /// Its path, from the crate's directory.
    pub(crate) path: String,
    /// Whether only this crate uses it.
    pub(crate) is_own: bool,
}

/// Finds the SDK for a crate whose directory does not exist yet, and writes it if there is none. The members of a
/// workspace share one SDK: cargo refuses two packages of one name.
///
/// # Errors
/// If the workspace rejects the crate, or files cannot be written.
pub(crate) fn add_sdk(directory: &Path, name: &str) -> Result<Sdk, Error> {
    let Some(workspace) = workspace_of(directory, name)? else {
        let path = format!("vendor/{CRATE}");
        vendored::Sdk::Rust.write(&directory.join("vendor"))?;
        return Ok(Sdk { path, is_own: true });
    };
    // The SDK lies directly below the root: `members` with a glob expects a crate in each directory.
    let sdk = workspace.member(CRATE).map_or_else(|| workspace.root().join(CRATE), Path::to_owned);
    if !sdk.join("Cargo.toml").is_file() {
        vendored::Sdk::Rust.write_to(&sdk)?;
    }
    let directory = directory.canonicalize().map_err(at(directory))?;
    Ok(Sdk { path: relative(&directory, &sdk).to_string_lossy().into_owned(), is_own: false })
}

/// The cargo workspace that a new crate in a directory becomes a member of. None if the crate is independent.
fn workspace_of(directory: &Path, name: &str) -> Result<Option<Workspace>, Error> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(at(parent))?;
    if !parent.ancestors().any(|above| discover::is_workspace(&above.join("Cargo.toml"))) {
        return Ok(None);
    }
    // Cargo only says which workspace an existing crate belongs to, so a provisional crate is created.
    let manifest = directory.join("Cargo.toml");
    bundled::write_file(
        &manifest,
        &format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
    )?;
    bundled::write_file(&directory.join("src/lib.rs"), "")?;
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

/// The relative path from one absolute directory to another.
pub(crate) fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| std::path::Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_directories_goes_up_and_down() {
        for (from, to, way) in
            [("/a/b", "/a/c/d", "../c/d"), ("/a", "/a/b", "b"), ("/a/b/c", "/x", "../../../x"), ("/a/b", "/a", "..")]
        {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(way));
        }
    }

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
                bundled::write_file(&path("Cargo.toml"), root).unwrap();
                if root.contains("[package]") {
                    bundled::write_file(&path("src/lib.rs"), "").unwrap();
                }
            }
            // Cargo requires that members listed by name exist.
            if root.as_ref().is_some_and(|root| root.contains("members = [\"a\"")) {
                for name in ["a", "b"] {
                    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
                    bundled::write_file(&path(&format!("{name}/Cargo.toml")), &manifest).unwrap();
                    bundled::write_file(&path(&format!("{name}/src/lib.rs")), "").unwrap();
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
                bundled::write_file(&path(&format!("{name}/Cargo.toml")), &manifest).unwrap();
                bundled::write_file(&path(&format!("{name}/src/lib.rs")), "").unwrap();
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
            bundled::write_file(&home.path().join(path).join("Cargo.toml"), &manifest).unwrap();
            bundled::write_file(&home.path().join(path).join("src/lib.rs"), "").unwrap();
        };
        bundled::write_file(&home.path().join("Cargo.toml"), "[workspace]\nmembers = [\"*\"]\n").unwrap();
        member("sdk", "sandbus-sdk");
        member("one", "taken");
        let found = add_sdk(&home.path().join("a"), "a").unwrap();
        assert_eq!(found, Sdk { path: "../sdk".to_owned(), is_own: false });
        let error = add_sdk(&home.path().join("taken"), "taken").unwrap_err().to_string();
        assert!(error.contains("two packages named `taken`"), "{error}");
        assert!(!home.path().join("taken").exists());
    }
}
