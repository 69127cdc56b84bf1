//! Builds and tests the dashboard with Node.js. The host embeds what is built.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::debian;
use crate::steps::{NPM_CI, root, step, target};

/// What the built dashboard depends on, in `host/dashboard`.
const SOURCES: [&str; 6] =
    ["index.html", "package.json", "package-lock.json", "src", "tsconfig.json", "vite.config.ts"];
/// The API, from which the types of the dashboard are generated.
const API: &str = "docs/openapi.json";

/// Checks and builds the dashboard if its sources have changed.
pub(crate) fn build() -> anyhow::Result<()> {
    let directory = root().join("host/dashboard");
    let mut hasher = DefaultHasher::new();
    hash_all(&root().join(API), &mut hasher)?;
    for source in SOURCES {
        hash_all(&directory.join(source), &mut hasher)?;
    }
    let (sources, stamp) = (format!("{:x}", hasher.finish()), directory.join("dist/stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|built| built == sources) {
        return Ok(());
    }
    install(&directory)?;
    step("building the dashboard", || {
        for script in ["types", "check", "build"] {
            npm(&directory, &["run", "--silent", script])?;
        }
        Ok(fs::write(&stamp, &sources)?)
    })
}

/// Runs the unit tests of the dashboard, and its tests in a browser against the built host.
pub(crate) fn test(plugins: &Path) -> anyhow::Result<()> {
    let units = root().join("host/dashboard");
    install(&units)?;
    step("testing the dashboard's modules", || npm(&units, &["run", "--silent", "test"]))?;
    in_browser("testing the dashboard in a browser", &["run", "--silent", "test"], plugins)
}

/// Takes pictures of every view, and puts those that the documentation uses into `docs/images`.
pub(crate) fn take_screenshots(plugins: &Path) -> anyhow::Result<()> {
    in_browser("taking the screenshots", &["run", "--silent", "screenshots"], plugins)
}

fn in_browser(what: &str, script: &[&str], plugins: &Path) -> anyhow::Result<()> {
    let browser = browser()?;
    let directory = root().join("tests/dashboard");
    install(&directory)?;
    step(what, || {
        let mut command = Command::new("npm");
        command.current_dir(&directory).args(script);
        command.env("SANDBUS_BIN", target().join("debug/sandbus")).env("SANDBUS_CHROMIUM", &browser);
        command.env("SANDBUS_TEST_PLUGINS", plugins);
        succeed(&mut command)
    })
}

/// Installs the packages that the lock file names, if they are not installed yet.
fn install(directory: &Path) -> anyhow::Result<()> {
    let lock = directory.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("{} cannot be read", lock.display()))?;
    let stamp = directory.join("node_modules/.installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let name = directory.strip_prefix(root()).unwrap_or(directory).display().to_string();
    step(&format!("installing the packages of {name}"), || {
        npm(directory, &NPM_CI)?;
        Ok(fs::write(&stamp, &wanted)?)
    })
}

/// Debian's Chromium. Installs it if it is missing and the caller may install packages.
fn browser() -> anyhow::Result<PathBuf> {
    if let Some(browser) = std::env::var_os("SANDBUS_CHROMIUM") {
        return Ok(PathBuf::from(browser));
    }
    let browser = PathBuf::from("/usr/bin/chromium");
    if !browser.exists() {
        debian::install("chromium", "set SANDBUS_CHROMIUM to the path of one")?;
    }
    Ok(browser)
}

fn npm(directory: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    succeed(Command::new("npm").current_dir(directory).args(arguments))
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    // The browser of the tests is that of Debian.
    command.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    let status = command.status().context("npm cannot be started; the dashboard needs Node.js 20 or later with npm")?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        bail!("`npm {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Adds the names and contents of a file, or of all files below a directory.
fn hash_all(path: &Path, hasher: &mut DefaultHasher) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be read", path.display());
    if !path.is_dir() {
        hasher.write(path.to_string_lossy().as_bytes());
        hasher.write(&fs::read(path).with_context(failed)?);
        return Ok(());
    }
    let mut entries = fs::read_dir(path).with_context(failed)?.collect::<Result<Vec<_>, _>>().with_context(failed)?;
    entries.sort_by_key(fs::DirEntry::path);
    // The types are generated.
    let sources = entries.iter().filter(|entry| entry.file_name() != "schema.d.ts");
    sources.map(fs::DirEntry::path).try_for_each(|entry| hash_all(&entry, hasher))
}
