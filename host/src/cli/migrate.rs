//! `sandbus migrate`.

use super::output::{Output, table};
use super::response::Response;
use crate::host::migration::{self, MigratedBus};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Copy this store: a directory or the URL of a database
    #[arg(long, value_name = "DIRECTORY|URL")]
    from: String,
    /// Copy to this empty store: a directory or the URL of a database
    #[arg(long, value_name = "DIRECTORY|URL")]
    to: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { from, to, json } = arguments;
    let migrated = tokio::task::spawn_blocking(move || migration::migrate(&from, &to)).await??;
    Output { json }.print(&Response::local(migrated)?, describe);
    Ok(())
}

fn describe(migrated: &MigratedBus) -> String {
    let MigratedBus { from, to, tables } = migrated;
    let rows = table(&["TABLE", "ROWS"], tables, |copied| vec![copied.table.to_owned(), copied.rows.to_string()]);
    format!(
        "copied {from} to {to} and compared every row\n\n{rows}\n\nNext, set `[bus] url` to the new store and start the host. The old store is unchanged."
    )
}
