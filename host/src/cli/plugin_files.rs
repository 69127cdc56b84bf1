//! `sandbus plugins upload | remove | enable | disable | sidecar`: changes of the plugin folder through the host.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::client::Client;
use super::completions::live;
use super::output::{Output, cell, digest, optional};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Upload a component, and wait until it runs
    ///
    /// If the host refuses the component, for instance because its canary fails, the previous version keeps running.
    Upload {
        /// The component
        file: PathBuf,
        /// Upload to the file of the plugin NAME [default: the name of FILE without .wasm]
        #[arg(long, value_name = "NAME", add = live::plugins())]
        name: Option<String>,
    },
    /// Remove a plugin and its sidecar; its state, backlog and dead letters are kept
    Remove {
        /// The name of the plugin
        #[arg(add = live::plugins())]
        name: String,
    },
    /// Enable a plugin in its sidecar
    Enable {
        /// The name of the plugin, or of its file
        #[arg(add = live::plugins())]
        name: String,
    },
    /// Disable a plugin in its sidecar
    Disable {
        /// The name of the plugin, or of its file
        #[arg(add = live::plugins())]
        name: String,
    },
    /// Show, replace or remove the sidecar of a plugin
    Sidecar(Sidecar),
}

#[derive(Debug, clap::Args)]
pub(super) struct Sidecar {
    /// The name of the plugin
    #[arg(add = live::plugins())]
    name: String,
    /// Replace the sidecar with this file, or with standard input if it is -
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    file: Option<PathBuf>,
    /// Remove the sidecar
    #[arg(long)]
    remove: bool,
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Upload { file, name } => {
            let name = name.map_or_else(|| name_of(&file), Ok)?;
            let component = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let response = client.upload(&name, component).await?;
            output.print(&response, |plugin| {
                let (version, digest) = (optional(plugin.version.as_ref()), digest(plugin.digest.as_deref()));
                format!("{} {version} {digest}: {}", cell(&name), plugin.status.as_str())
            });
        }
        Command::Remove { name } => {
            output.print(&client.remove_plugin(&name).await?, |_| format!("removed {}", cell(&name)));
        }
        Command::Enable { name } => {
            output.print(&client.enable(&name, true).await?, |_| format!("enabled {}", cell(&name)));
        }
        Command::Disable { name } => {
            output.print(&client.enable(&name, false).await?, |_| format!("disabled {}", cell(&name)));
        }
        Command::Sidecar(Sidecar { name, file: Some(file), .. }) => {
            let text = super::read_file_or_standard_input(&file)?;
            let response = client.put_sidecar(&name, text).await?;
            let is_alone = client.plugin(&name).await.is_err();
            output.print(&response, |_| match is_alone {
                true => format!("stored the sidecar; there is no plugin {} yet, so upload its component", cell(&name)),
                false => format!("{} has the new sidecar", cell(&name)),
            });
        }
        Command::Sidecar(Sidecar { name, remove: true, .. }) => {
            let response = client.remove_sidecar(&name).await?;
            output.print(&response, |_| format!("removed the sidecar of {}", cell(&name)));
        }
        Command::Sidecar(Sidecar { name, .. }) => {
            let response = client.sidecar(&name).await?;
            output.print(&response, |text| crate::printable::block(text.trim_end()).into_owned());
        }
    }
    Ok(())
}

fn name_of(file: &Path) -> anyhow::Result<String> {
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some(stem) if file.extension().is_some_and(|extension| extension == "wasm") => Ok(stem.to_owned()),
        _ => bail!("{} does not end in .wasm; name the plugin with --name", file.display()),
    }
}
