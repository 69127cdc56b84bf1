//! `sandbus state`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;

use super::Remote;
use super::completions::live;
use super::output::cell;
use crate::api::{StateKeyQuery, StateRequest, StateValueView};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a value
    Get {
        /// The plugin
        #[arg(add = live::plugins())]
        plugin: String,
        /// The key
        #[arg(add = live::state_keys())]
        key: String,
    },
    /// List keys
    Keys {
        /// The plugin
        #[arg(add = live::plugins())]
        plugin: String,
        /// Show at most N keys
        #[arg(long, value_name = "N", default_value = "100", value_parser = super::parse_count::<NonZeroUsize>)]
        limit: NonZeroUsize,
        /// Continue after CURSOR, as printed below the previous page
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Change a value
    Set(Set),
    /// Delete a value
    Delete {
        /// The plugin
        #[arg(add = live::plugins())]
        plugin: String,
        /// The key
        #[arg(add = live::state_keys())]
        key: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("new").required(true).args(["value", "file"])))]
struct Set {
    /// The plugin
    #[arg(add = live::plugins())]
    plugin: String,
    /// The key
    #[arg(add = live::state_keys())]
    key: String,
    /// The new value
    #[arg(allow_hyphen_values = true)]
    value: Option<String>,
    /// Read the new value from this file, or from standard input if it is -
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Change the value only if it has this version, which `get --json` shows; 0 means that there is no value
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    if_version: Option<u64>,
}

fn parse_version(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a version as `sandbus state get --json` shows it".to_owned())
}

impl Set {
    fn request(&self) -> anyhow::Result<StateRequest> {
        let value_base64 = self
            .file
            .as_deref()
            .map(super::read_file_or_standard_input)
            .transpose()?
            .map(|bytes| BASE64_STANDARD.encode(bytes));
        Ok(StateRequest { value: self.value.clone(), value_base64, version: self.if_version })
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command {
        Command::Get { plugin, key } => {
            output.print(&client.state_value(&plugin, &key).await?, describe);
        }
        Command::Keys { plugin, limit, after } => {
            let query = StateKeyQuery { after, limit: Some(limit.get()) };
            let response = client.state_keys(&plugin, &query).await?;
            output.print(&response, |page| {
                let mut lines: Vec<_> = page.keys.iter().map(cell).collect();
                if let Some(next) = &page.next {
                    lines.push(format!("more follow; continue with --after {}", cell(next)));
                }
                if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
            });
        }
        Command::Delete { plugin, key } => {
            let response = client.delete_state(&plugin, &key).await?;
            output.print(&response, |_| format!("deleted {}", cell(&key)));
        }
        Command::Set(set) => {
            let response = client.set_state(&set.plugin, &set.key, &set.request()?).await?;
            output.print(&response, |value| format!("version: {}", value.version));
        }
    }
    Ok(())
}

/// The value as text, or in base64 if it is not text.
fn describe(value: &StateValueView) -> String {
    let base64 = || value.value_base64.as_ref().map(|base64| format!("base64: {base64}"));
    value.value.clone().or_else(base64).unwrap_or_default()
}
