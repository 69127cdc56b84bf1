//! Installs the third-party SDKs that the tests run against the host into the target directory, in the versions that
//! `tests/sdks` pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::steps::{NPM_CI, root, run, step, target};

/// The files that determine whether the SDKs are installed already.
const MANIFESTS: [&str; 3] = ["package.json", "package-lock.json", "requirements.txt"];

/// Installs the SDKs if necessary, and returns their directory.
pub(crate) fn install() -> anyhow::Result<PathBuf> {
    let (pinned, directory) = (root().join("tests/sdks"), target().join("sdks"));
    let mut wanted = String::new();
    for name in MANIFESTS {
        let path = pinned.join(name);
        wanted.push_str(&fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    let stamp = directory.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    step("installing the SDKs that the tests run", || {
        let (js, python) = (directory.join("js"), directory.join("python"));
        for part in [&js, &python] {
            if part.exists() {
                fs::remove_dir_all(part)?;
            }
            fs::create_dir_all(part)?;
        }
        for name in ["package.json", "package-lock.json"] {
            fs::copy(pinned.join(name), js.join(name))?;
        }
        run(Command::new("npm").current_dir(&js).args(NPM_CI))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"];
        let requirements = pinned.join("requirements.txt");
        run(Command::new("python3").args(pip).args([&python, Path::new("-r"), &requirements]))?;
        Ok(fs::write(&stamp, &wanted)?)
    })?;
    Ok(directory)
}
