//! `sandbus backup`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

use super::Remote;
use super::output::Output;
use super::response::Response;
use crate::api::BackupQuery;
use crate::backup::{self, BackupFile, BackupSource, Manifest};
use crate::clock::Clock;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: Make,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that a backup is complete and undamaged
    Verify {
        /// The backup
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Make {
    /// Write the backup to this file, or to a new file in this directory
    #[arg(value_name = "FILE|DIRECTORY", required = true)]
    target: Option<PathBuf>,
    /// Include the ledger
    #[arg(long)]
    ledger: bool,
    /// Back up this data directory of a stopped host
    #[arg(long, value_name = "DIRECTORY", requires = "plugins")]
    data: Option<PathBuf>,
    /// With --data, include the plugins in this folder
    #[arg(long, value_name = "FOLDER", requires = "data")]
    plugins: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { command, make, remote } = arguments;
    let output = Output { json: remote.json };
    let (file, manifest) = match command {
        Some(Command::Verify { file }) => {
            let checked = file.clone();
            let manifest = tokio::task::spawn_blocking(move || backup::check(&checked)).await??;
            (file, manifest)
        }
        None => make_backup(make, &remote).await?,
    };
    let summary = Summary::of(&file, &manifest);
    output.print(&Response::local(summary)?, |summary| summary.describe());
    Ok(())
}

async fn make_backup(make: Make, remote: &Remote) -> anyhow::Result<(PathBuf, Manifest)> {
    let Make { target, ledger, data, plugins } = make;
    let target = backup::target_in(&target.unwrap_or_default(), Clock::System.now());
    let (file, output) = BackupFile::create(&target)?;
    let file = match data.zip(plugins) {
        Some((data, plugins)) => {
            tokio::task::spawn_blocking(move || write_offline(file, output, data, plugins, ledger)).await??
        }
        None => {
            download(remote, ledger, output, &target).await?;
            file
        }
    };
    let manifest = tokio::task::spawn_blocking(move || file.finish()).await??;
    Ok((target, manifest))
}

fn write_offline(
    file: BackupFile,
    output: File,
    data: PathBuf,
    plugins: PathBuf,
    ledger: bool,
) -> anyhow::Result<BackupFile> {
    let source = BackupSource { store: Some(data.clone()), data, plugins, link_roots: Vec::new() };
    let output = BufWriter::with_capacity(1 << 18, output);
    backup::back_up_offline(&source, file.directory(), ledger, Clock::System.now(), output)?;
    Ok(file)
}

/// Downloads the backup of a running host.
async fn download(remote: &Remote, ledger: bool, mut output: File, target: &Path) -> anyhow::Result<()> {
    let (client, _) = remote.connect();
    let query = BackupQuery { ledger: ledger.then_some(true) };
    let mut body = client.back_up(&query).await?;
    while let Some(part) = client.next_bytes(&mut body).await? {
        let written = tokio::task::spawn_blocking(move || output.write_all(&part).map(|()| output)).await?;
        output = written.with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}

/// What is printed about a backup.
#[derive(Debug, Serialize)]
struct Summary {
    file: String,
    made_at: String,
    sandbus: String,
    data_version: i64,
    position: u64,
    members: usize,
    plugin_files: usize,
    bytes: u64,
}

impl Summary {
    fn of(file: &Path, manifest: &Manifest) -> Self {
        Self {
            file: file.display().to_string(),
            made_at: manifest.made_at.clone(),
            sandbus: manifest.sandbus.clone(),
            data_version: manifest.data_version,
            position: manifest.position,
            members: manifest.members.len(),
            plugin_files: manifest.plugin_files(),
            bytes: manifest.bytes(),
        }
    }

    fn describe(&self) -> String {
        let Self { file, made_at, sandbus, position, members, plugin_files, bytes, .. } = self;
        format!(
            "{file} is complete: {members} files, {plugin_files} of them in the plugin folder, {bytes} bytes.\nIt was made at {made_at} by Sandbus {sandbus}, and contains the log up to position {position}."
        )
    }
}
