//! `sandbus audit`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use super::paging::{Paging, next_page_hint};
use super::response::Response;
use super::{Group, output};
use crate::access::{self, Chain};
use crate::api::{AuditEntryView, AuditLogPage};
use output::{Output, cell, optional, table, truncate};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List changes that were made through the admin interface, newest first
    List(Paging),
    /// Check the audit log in a data directory for changed or removed entries
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Check the audit log in this data directory
    #[arg(long, value_name = "DIRECTORY", default_value = "data")]
    data: PathBuf,
    /// Fail unless an entry has this hash, which an earlier check printed
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    match arguments.command.unwrap_or(Command::List(Paging::default())) {
        Command::List(paging) => {
            let (client, output) = arguments.remote.connect();
            let page = paging.fetch::<AuditLogPage>(&client, &()).await?;
            output.print(&page, |page| list(&page.entries) + &next_page_hint(page));
            Ok(())
        }
        Command::Verify(verify) => check(&verify, Output { json: arguments.remote.json }),
    }
}

/// Checks the files, which need no running host.
fn check(verify: &Verify, output: Output) -> anyhow::Result<()> {
    let Verify { data, expect } = verify;
    if !data.is_dir() {
        bail!("there is no data directory {}; name it with --data", data.display());
    }
    let chain = access::verify(data, expect.as_deref())?;
    output.print(&Response::local(chain)?, |chain| match chain {
        None => "the audit log has no entries".to_owned(),
        Some(Chain { entries, first, last, head }) => format!(
            "{entries} entries are intact, {first} to {last}.\nThe last one has the hash {head}. Keep the hash elsewhere, and pass it to the next check with --expect."
        ),
    });
    Ok(())
}

fn list(entries: &[AuditEntryView]) -> String {
    table(&["NUMBER", "AT", "ACTOR", "OPERATION", "OUTCOME", "STATUS", "REQUEST"], entries, |entry| {
        let outcome =
            entry.begun.map_or_else(|| cell(&entry.outcome), |begun| format!("{} {begun}", cell(&entry.outcome)));
        vec![
            cell(entry.sequence),
            cell(&entry.at),
            cell(&entry.actor),
            cell(&entry.operation),
            outcome,
            optional(entry.status),
            truncate(&entry.request, 100),
        ]
    })
}
