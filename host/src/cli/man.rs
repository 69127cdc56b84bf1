//! `sandbus man`: the man pages, from the help of the commands.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_mangen::Man;

use crate::console;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write one page per command to this directory, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, command: clap::Command) -> anyhow::Result<()> {
    // The page of a command describes its options already.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    match &arguments.dir {
        None => console::print_line(page(&command)?.trim_end()),
        Some(directory) => {
            std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
            let count = write(&command, directory)?;
            console::print_status(&format!("wrote {count} pages to {}", directory.display()));
        }
    }
    Ok(())
}

/// Writes the pages of a command and of its subcommands. Returns their number.
fn write(command: &clap::Command, directory: &Path) -> anyhow::Result<usize> {
    let file = directory.join(Man::new(command.clone()).get_filename());
    std::fs::write(&file, page(command)?).with_context(|| format!("cannot write {}", file.display()))?;
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| write(command, directory)).sum::<anyhow::Result<usize>>().map(|below| below + 1)
}

/// The page of a command.
fn page(command: &clap::Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("Sandbus Manual").source(concat!("sandbus ", env!("CARGO_PKG_VERSION")));
    man.render(&mut page)?;
    String::from_utf8(page).context("a page is not UTF-8")
}
