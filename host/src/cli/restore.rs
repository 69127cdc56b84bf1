//! `sandbus restore`.

use std::path::PathBuf;

use serde::Serialize;

use super::output::Output;
use super::response::Response;
use crate::backup::{self, Restored, Target};
use crate::clock::Clock;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The backup
    file: PathBuf,
    /// Restore to this data directory
    #[arg(long, value_name = "DIRECTORY")]
    data: PathBuf,
    /// Restore the plugins to this folder
    #[arg(long, value_name = "FOLDER")]
    plugins: Option<PathBuf>,
    /// Move existing directories aside
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, data, plugins, replace, json } = arguments;
    let target = Target { data: data.clone(), plugins: plugins.clone(), replace };
    let restoring = move || backup::restore(&file, &target, Clock::System.now());
    let restored = tokio::task::spawn_blocking(restoring).await??;
    let summary = Summary::of(restored, data, plugins);
    Output { json }.print(&Response::local(summary)?, Summary::describe);
    Ok(())
}

/// What is printed about a restore.
#[derive(Debug, Serialize)]
struct Summary {
    data: PathBuf,
    plugins: Option<PathBuf>,
    moved: Vec<PathBuf>,
    made_at: String,
    position: u64,
    plugin_files: usize,
}

impl Summary {
    fn of(restored: Restored, data: PathBuf, plugins: Option<PathBuf>) -> Self {
        let Restored { manifest, moved } = restored;
        let (position, plugin_files) = (manifest.position, manifest.plugin_files());
        Self { data, plugins, moved, made_at: manifest.made_at, position, plugin_files }
    }

    fn describe(&self) -> String {
        let Self { data, plugins, moved, made_at, position, plugin_files } = self;
        let mut text =
            format!("restored {} to the state of {made_at}, with the log up to position {position}", data.display());
        match plugins {
            Some(plugins) => text += &format!("\nrestored {plugin_files} files to {}", plugins.display()),
            None if *plugin_files > 0 => {
                text += &format!("\nleft out {plugin_files} files of the plugin folder; restore them with --plugins");
            }
            None => {}
        }
        for path in moved {
            text += &format!("\nthe previous content is in {}", path.display());
        }
        text
    }
}
