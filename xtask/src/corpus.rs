//! Builds components that others have published in package registries, and runs them on the host.
//! `tests/corpus/components.json` lists them, with what each must do.

mod crates;
mod entry;
mod npm;
mod program;
mod python;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use self::entry::{Entry, Registry};
use crate::steps::{build_host, run_program, step, target};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run only the components that CI runs
    #[arg(long)]
    short: bool,
    /// Run only the components whose names contain this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

/// The directories of a run.
struct Directories {
    /// All downloads and builds are below this one.
    work: PathBuf,
    /// The built components.
    components: PathBuf,
}

impl Directories {
    fn create() -> anyhow::Result<Self> {
        let work = target().join("corpus");
        let components = work.join("components");
        fs::create_dir_all(&components)?;
        Ok(Self { work, components })
    }

    /// Where the component of an entry goes.
    fn component(&self, entry: &Entry) -> PathBuf {
        self.components.join(format!("{}.wasm", entry.name))
    }

    /// A directory for the sources of an entry.
    fn project(&self, entry: &Entry) -> PathBuf {
        self.work.join("projects").join(&entry.name)
    }
}

/// Builds the components and the host, runs the components, and prints a table.
pub(crate) fn run_all(arguments: &Arguments) -> anyhow::Result<()> {
    build_host()?;
    run_selected(arguments.short, &arguments.only)
}

/// As [`run_all`], with a host that is built already, for the components that CI runs.
pub(crate) fn check_short() -> anyhow::Result<()> {
    run_selected(true, "")
}

fn run_selected(is_short: bool, only: &str) -> anyhow::Result<()> {
    let mut entries = entry::read()?;
    entries.retain(|entry| (entry.in_ci || !is_short) && entry.name.contains(only));
    let directories = Directories::create()?;
    step("building published components", || build(&directories, &entries))?;
    let mut arguments = vec!["--only".to_owned(), only.to_owned()];
    arguments.extend(is_short.then(|| "--short".to_owned()));
    match run_program("running published components", "corpus", &directories.components, &arguments)? {
        true => Ok(()),
        false => bail!("a published component did not do what it must; see the table above"),
    }
}

fn build(directories: &Directories, entries: &[Entry]) -> anyhow::Result<()> {
    for entry in entries {
        let built = match entry.registry {
            Registry::Crates => crates::build(directories, entry),
            Registry::Npm => npm::build(directories, entry),
            Registry::PyPi => python::build(directories, entry),
        };
        built.with_context(|| format!("{} cannot be built", entry.name))?;
    }
    Ok(())
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
