//! Names of a running host, for completions.
//!
//! The flags on the command line and the environment name the host and the token, as for the command itself. A host
//! that does not respond in time, or refuses the request, has no names.

use std::future::Future;
use std::time::Duration;

use clap::Parser;
use clap_complete::{ArgValueCandidates, CompletionCandidate};

use super::words;
use crate::api::{
    DeadLetterPage, DeadLetterView, GenerationView, PluginList, PluginView, ScheduledPage, ScheduledView,
    StateKeyQuery, SubscriptionList, SubscriptionView, TokenView,
};
use crate::cli::Remote;
use crate::cli::client::Client;
use crate::cli::output::digest;
use crate::printable;

/// How long to wait for the host, because the shell waits, too.
const PATIENCE: Duration = Duration::from_secs(1);
/// The largest number of names.
const LIMIT: usize = 200;

/// A name with a short description.
type Named = (String, String);

/// The names of plugins, and of files that are not loaded.
pub(in crate::cli) fn plugins() -> ArgValueCandidates {
    let name = |plugin: PluginView| {
        let stem = plugin.file.as_deref().and_then(|file| file.strip_suffix(".wasm")).map(str::to_owned);
        Some((plugin.name.clone().or(stem)?, plugin.error.or(plugin.version).unwrap_or_default()))
    };
    candidates(move |client| async move {
        let page = client.page::<PluginList>(&(), LIMIT, None).await?;
        Ok(page.into_value().plugins.into_iter().filter_map(name).collect())
    })
}

/// The ids of subscriptions.
pub(in crate::cli) fn subscriptions() -> ArgValueCandidates {
    let name = |subscription: SubscriptionView| (subscription.id, format!("backlog {}", subscription.backlog));
    candidates(move |client| async move {
        let page = client.page::<SubscriptionList>(&(), LIMIT, None).await?;
        Ok(page.into_value().subscriptions.into_iter().map(name).collect())
    })
}

/// The numbers of dead letters.
pub(in crate::cli) fn dead_letters() -> ArgValueCandidates {
    let name = |dead: DeadLetterView| (dead.number.to_string(), format!("{} {}", dead.subscription, dead.cause));
    candidates(move |client| async move {
        let page = client.page::<DeadLetterPage>(&(), LIMIT, None).await?;
        Ok(page.into_value().dead_letters.into_iter().map(name).collect())
    })
}

/// The digests of the archived generations of the plugin on the command line.
pub(in crate::cli) fn generations() -> ArgValueCandidates {
    let name = |generation: GenerationView| (digest(Some(&generation.digest)), generation.version);
    candidates(move |client| async move {
        let Some(plugin) = argument_of("rollback") else { return Ok(Vec::new()) };
        let plugin = client.plugin(&plugin).await?.into_value();
        let others = plugin.generations.into_iter().filter(|other| Some(&other.digest) != plugin.digest.as_ref());
        Ok(others.map(name).collect())
    })
}

/// The ids of delayed events.
pub(in crate::cli) fn delayed_events() -> ArgValueCandidates {
    delayed(|event| {
        let summary = event.event.summary();
        (summary.id, format!("{} {}", event.due, summary.event_type))
    })
}

/// The sources of delayed events.
pub(in crate::cli) fn delayed_sources() -> ArgValueCandidates {
    delayed(|event| (event.event.summary().source, String::new()))
}

fn delayed(name: fn(ScheduledView) -> Named) -> ArgValueCandidates {
    candidates(move |client| async move {
        let page = client.page::<ScheduledPage>(&(), LIMIT, None).await?;
        Ok(page.into_value().scheduled.into_iter().map(name).collect())
    })
}

/// The keys of the state of the plugin on the command line.
pub(in crate::cli) fn state_keys() -> ArgValueCandidates {
    candidates(|client| async move {
        let plugin = ["get", "set", "delete"].into_iter().find_map(argument_of);
        let Some(plugin) = plugin else { return Ok(Vec::new()) };
        let query = StateKeyQuery { after: None, limit: Some(LIMIT) };
        let keys = client.state_keys(&plugin, &query).await?.into_value().keys;
        Ok(keys.into_iter().map(|key| (key, String::new())).collect())
    })
}

/// The ids of tokens.
pub(in crate::cli) fn tokens() -> ArgValueCandidates {
    let name = |token: TokenView| (token.id, format!("{} {}", token.role, token.name.unwrap_or_default()));
    candidates(
        move |client| async move { Ok(client.tokens().await?.into_value().tokens.into_iter().map(name).collect()) },
    )
}

/// Candidates that a host is asked for.
fn candidates<F>(names: impl Fn(Client) -> F + Send + Sync + 'static) -> ArgValueCandidates
where
    F: Future<Output = anyhow::Result<Vec<Named>>>,
{
    ArgValueCandidates::new(move || {
        let Some(client) = client(&words()) else { return Vec::new() };
        // This process has no other runtime: it only answers a shell.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Vec::new();
        };
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, names(client)).await });
        // A lookup of the host's name may still run.
        runtime.shutdown_background();
        let names = answer.ok().and_then(Result::ok).unwrap_or_default();
        names.into_iter().filter(|(name, _)| is_safe(name)).map(candidate).collect()
    })
}

fn candidate((name, description): Named) -> CompletionCandidate {
    let description = printable::line(description.trim()).into_owned();
    let help = (!description.is_empty()).then(|| description.into());
    CompletionCandidate::new(&name).id(Some(name)).help(help)
}

/// Whether a name may be inserted into a command line. Names come from plugins and publishers, and a shell would
/// interpret some characters.
fn is_safe(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain)
}

/// The options that name the host, and their values.
const HOST_FLAGS: [&str; 3] = ["--admin", "--admin-ca", "--token-file"];

#[derive(Debug, Parser)]
struct Host {
    #[command(flatten)]
    remote: Remote,
}

/// A client of the host that the words and the environment name.
fn client(words: &[String]) -> Option<Client> {
    let mut own = vec!["sandbus".to_owned()];
    for (index, word) in words.iter().enumerate() {
        if HOST_FLAGS.contains(&word.as_str()) {
            own.extend(words.get(index..index + 2)?.iter().cloned());
        } else if word.split_once('=').is_some_and(|(flag, _)| HOST_FLAGS.contains(&flag)) {
            own.push(word.clone());
        }
    }
    let Host { remote } = Host::try_parse_from(own).ok()?;
    Some(Remote { admin_timeout: PATIENCE, ..remote }.connect().0)
}

/// The first argument after a command, apart from options.
fn argument_of(command: &str) -> Option<String> {
    argument_after(&words(), command)
}

fn argument_after(words: &[String], command: &str) -> Option<String> {
    const OPTIONS: [&str; 6] = ["--admin", "--admin-ca", "--admin-timeout", "--token-file", "--to", "--file"];
    let mut rest = words.iter().skip_while(|word| *word != command).skip(1);
    while let Some(word) = rest.next() {
        if OPTIONS.contains(&word.as_str()) {
            rest.next();
        } else if !word.starts_with('-') {
            return Some(word.clone()).filter(|word| !word.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn names_that_a_shell_would_interpret_are_not_offered() {
        for name in ["orders", "operator/mail-1", "9f86d081884c", "urn:a:b", "a@b,c=d%e+f"] {
            assert!(is_safe(name), "{name}");
        }
        for name in [
            "", "-rf", "a b", "$(id)", "`id`", "a;b", "a&b", "a|b", "a>b", "a*", "~", "a'b", "a\"b", "a\\b", "a\n",
            "\u{e9}", "!a", "{a}", "#a", "[a]", "(a)", "a?",
        ] {
            assert!(!is_safe(name), "{name:?}");
        }
    }

    #[test]
    fn the_argument_of_a_command_is_found_among_options() {
        for (line, expected) in [
            ("sandbus rollback orders --to ", Some("orders")),
            ("sandbus rollback --to ab --admin http://a orders", Some("orders")),
            ("sandbus rollback --to=ab orders", Some("orders")),
            ("sandbus rollback --json orders ", Some("orders")),
            ("sandbus rollback --to ", None),
            ("sandbus rollback ", None),
            ("sandbus plugins orders", None),
        ] {
            assert_eq!(argument_after(&words(line), "rollback").as_deref(), expected, "{line}");
        }
    }
}
