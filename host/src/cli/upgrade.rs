//! `sandbus upgrade`.

use std::path::PathBuf;

use anyhow::bail;
use sandbus_toolchain::{UpgradeState, VendoredSdk};

use crate::console;
use crate::projects::display_path;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A plugin's project, a workspace, or a directory of projects
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Also replace SDKs that were changed by hand
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || upgrade(&arguments)).await?
}

fn upgrade(arguments: &Arguments) -> anyhow::Result<()> {
    let all = VendoredSdk::below(&arguments.path)?;
    if all.is_empty() {
        bail!(
            "{} has no SDK of `sandbus new`: neither in a `vendor` directory, nor in `sandbus-sdk` at the root of a cargo workspace",
            arguments.path.display()
        );
    }
    let (mut kept, mut is_npm_due) = (0, false);
    for sdk in &all {
        let shown = display_path(&sdk.directory);
        match sdk.state()? {
            UpgradeState::Current { version } => console::print_line(&format!("{shown}: {version} is up to date")),
            UpgradeState::Outdated { from, .. } => {
                let to = sdk.replace()?;
                is_npm_due |= sdk.is_installed_by_npm();
                console::print_line(&format!("{shown}: {from} → {to}"));
            }
            UpgradeState::Changed { .. } | UpgradeState::Unrecorded if arguments.force => {
                let to = sdk.replace()?;
                is_npm_due |= sdk.is_installed_by_npm();
                console::print_line(&format!("{shown}: replaced by {to}"));
            }
            UpgradeState::Changed { files } => {
                kept += 1;
                console::print_problem(&format!("{shown} was changed by hand: {}", some(&files)));
            }
            UpgradeState::Unrecorded => {
                kept += 1;
                console::print_problem(&format!(
                    "{shown} has no record of its files; it may have been changed by hand"
                ));
            }
        }
    }
    if is_npm_due {
        console::print_status("run `npm install` where the package was installed as a copy");
    }
    match kept {
        0 => Ok(()),
        kept => bail!("{kept} of {} SDKs were not upgraded; move the changes, then run this with --force", all.len()),
    }
}

/// The first of many paths.
fn some(files: &[String]) -> String {
    const MOST: usize = 5;
    let more = files.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", files[..files.len().min(MOST)].join(", "))
}
