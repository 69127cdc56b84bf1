//! `sandbus config`.

use super::Remote;
use super::output::{cell, table};
use crate::api::{ConfigurationView, SettingView};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    output.print(&client.configuration().await?, show);
    Ok(())
}

fn show(configuration: &ConfigurationView) -> String {
    let row = |setting: &SettingView| {
        let SettingView { key, value, origin, source } = setting;
        let value = if value.is_null() { "unset".to_owned() } else { value.to_string() };
        let origin = source.as_ref().map_or_else(|| origin.clone(), |source| format!("{origin} {source}"));
        vec![cell(key), cell(&value), cell(&origin)]
    };
    table(&["key", "value", "origin"], &configuration.settings, row)
}
