//! `sandbus schema`: the JSON Schemas of the TOML files that people write.

use clap::ValueEnum;
use serde_json::Value;

use crate::plugin::Sidecar;
use crate::scenario::ScenarioFile;
use crate::{config, console};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The kind of file
    #[arg(value_enum, value_name = "FILE")]
    file: File,
}

/// The kinds of TOML files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum File {
    /// The configuration of a host, `sandbus.toml`
    Config,
    /// The sidecar of a plugin, `NAME.toml`
    Sidecar,
    /// Scenarios, `tests/*.toml`
    Scenario,
}

impl File {
    fn schema(self) -> Value {
        match self {
            Self::Config => config::schema(),
            Self::Sidecar => Sidecar::schema(),
            Self::Scenario => ScenarioFile::schema(),
        }
    }

    /// The text of the schema.
    fn text(self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&self.schema())?)
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    console::print_line(&arguments.file.text()?);
    Ok(())
}

#[cfg(test)]
mod tests;
