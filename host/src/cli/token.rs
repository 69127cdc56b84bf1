//! `sandbus token`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;

use super::completions::live;
use super::response::Response;
use super::{Remote, output};
use crate::access::{NewToken, Role, TokenId, TokenStore};
use crate::admin::view_token;
use crate::api::{CreatedTokenView, TokenList, TokenRequest, TokenView};
use crate::clock::{Clock, Timestamp};
use crate::console;
use output::{Output, cell, optional, table};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Read and change the tokens in this data directory, without a running host
    #[arg(long, value_name = "DIRECTORY", global = true)]
    data: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a token, and print it once
    Create(Create),
    /// List tokens
    List,
    /// Revoke a token
    Revoke {
        /// The id of the token, as `list` shows it
        #[arg(add = live::tokens())]
        id: TokenId,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Give the token this role
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
    role: String,
    /// Describe the token, for example with the person or program that uses it
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Restrict the token to this plugin
    #[arg(long, add = live::plugins())]
    plugin: Option<String>,
    /// Let the token expire after this time, such as 90d
    #[arg(long, value_name = "TIME", value_parser = super::parse_duration)]
    expires: Option<Duration>,
    /// Hide the data of events and the values of plugins' state
    #[arg(long)]
    hide_payloads: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { command, data, remote } = arguments;
    match data {
        Some(data) => change_file(command, &TokenStore::open(&existing(data)?), Output { json: remote.json }),
        None => change_host(command, &remote).await,
    }
}

/// A data directory that exists. A misspelt one would give a token that no host knows.
fn existing(data: PathBuf) -> anyhow::Result<PathBuf> {
    if !data.is_dir() {
        bail!("there is no data directory {}; start the host once, or correct --data", data.display());
    }
    Ok(data)
}

async fn change_host(command: Command, remote: &Remote) -> anyhow::Result<()> {
    let (client, output) = remote.connect();
    match command {
        Command::Create(create) => {
            let Create { role, name, plugin, expires, hide_payloads } = create;
            let request = TokenRequest { name, role, plugin, hide_payloads, expires_in: expires };
            output.print(&client.create_token(&request).await?, show_created);
        }
        Command::List => output.print(&client.tokens().await?, show_list),
        Command::Revoke { id } => {
            let response = client.revoke_token(&id.to_string()).await?;
            output.print(&response, |_| format!("revoked {id}"));
        }
    }
    Ok(())
}

/// Changes the file of tokens, which a running host reads again.
fn change_file(command: Command, store: &TokenStore, output: Output) -> anyhow::Result<()> {
    let now = Clock::System.now();
    match command {
        Command::Create(create) => {
            let (secret, record) = store.create(create.checked(now)?, now)?;
            let created = CreatedTokenView { secret: secret.expose().to_owned(), token: view_token(&record, now) };
            output.print(&Response::local(created)?, show_created);
        }
        Command::List => {
            let tokens = store.list()?.iter().map(|token| view_token(token, now)).collect();
            output.print(&Response::local(TokenList { tokens })?, show_list);
        }
        Command::Revoke { id } => {
            let revoked = store.revoke(&id)?;
            output.print(&Response::local(view_token(&revoked, now))?, |token| format!("revoked {}", token.id));
        }
    }
    Ok(())
}

impl Create {
    fn checked(self, now: Timestamp) -> anyhow::Result<NewToken> {
        let Self { role, name, plugin, expires, hide_payloads } = self;
        let role: Role = role.parse()?;
        let created_by = "command line".to_owned();
        let token = NewToken { name, role, plugin, hide_payloads, expires_at: None, created_by };
        Ok(token.checked(expires, now)?)
    }
}

fn show_created(created: &CreatedTokenView) -> String {
    let TokenView { id, role, .. } = &created.token;
    console::print_status(&format!(
        "This is the token {id} with the role {role}. It is not shown again. Use it with SANDBUS_TOKEN or --token-file."
    ));
    created.secret.clone()
}

fn show_list(list: &TokenList) -> String {
    let columns = ["ID", "NAME", "ROLE", "PLUGIN", "PAYLOADS", "CREATED", "BY", "EXPIRES"];
    table(&columns, &list.tokens, |token| {
        let expires = token.expires_at.as_ref().map_or_else(|| "never".to_owned(), cell);
        vec![
            cell(&token.id),
            optional(token.name.as_ref()),
            cell(&token.role),
            token.plugin.as_ref().map_or_else(|| "all".to_owned(), cell),
            if token.hide_payloads { "hidden" } else { "shown" }.to_owned(),
            cell(&token.created_at),
            cell(&token.created_by),
            if token.expired { format!("{expires} (expired)") } else { expires },
        ]
    })
}
