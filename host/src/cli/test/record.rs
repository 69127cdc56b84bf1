//! `sandbus test --record`: turns an event of a running host, and what it led to, into a scenario.

mod responses;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::api::{DeadLetterPage, DeadLetterQuery, EventPage, EventQuery, EventView, SubscriptionList, TargetView};
use crate::cli::client::Client;
use crate::cli::paging::{fetch, fetch_all};
use crate::clock::Timestamp;
use crate::console;
use crate::event::reserved::{is_host_attribute, publishing_plugin};
use crate::event::{CAUSATION_ID, CAUSATION_SOURCE};
use crate::pattern::Pattern;
use crate::projects::join_names;
use responses::Responses;

/// The number of events of one response.
const PAGE: usize = 200;

/// The attributes that a step has keys for.
const STEP_KEYS: [&str; 6] = ["specversion", "type", "id", "source", "subject", "data"];

/// What a file with responses says about them.
const RESPONSES_NOTE: &str =
    "# It has URLs and responses of other services as they were recorded. They may contain secrets.\n";

/// If everything happened within this time, there was probably no retry that the ledger has left out.
const AT_ONCE: Duration = Duration::from_millis(20);

/// An event, and what it led to.
struct Recording {
    event: Map<String, Value>,
    /// The event as the host has stored it.
    text: String,
    stored_at: String,
    /// The events of its cause tree, in the order of the log.
    published: Vec<Map<String, Value>>,
    dead_letters: Vec<Value>,
    /// The plugins that published or received these events.
    plugins: BTreeSet<String>,
    /// The time from the event to the last thing that it led to.
    span: Duration,
    /// What other services answered.
    responses: Responses,
}

/// Writes a scenario of an event to a file, or prints it.
pub(super) async fn record(client: &Client, id: &str, output: Option<&Path>) -> anyhow::Result<()> {
    let recording = read(client, id).await?;
    if let Some(folder) = output.and_then(Path::parent) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let step = match (recording.inline_step(), output) {
        (Some(step), _) => step,
        (None, Some(output)) => {
            let file = output.with_extension("ndjson");
            if file == output {
                bail!("the event needs the file {} for itself; give --output another extension", file.display());
            }
            let line = format!("{}\n", recording.text);
            std::fs::write(&file, line).with_context(|| format!("cannot write {}", file.display()))?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            format!("events = {}\n", toml_value(&json!(name)).unwrap_or_default())
        }
        (None, None) => {
            bail!("the event has data that TOML cannot express; give --output FILE, to write it to a file of its own")
        }
    };
    let scenario = recording.to_toml(id, &step);
    let Some(output) = output else {
        console::print_line(scenario.trim_end());
        return Ok(());
    };
    std::fs::write(output, scenario).with_context(|| format!("cannot write {}", output.display()))?;
    let path = output.display();
    console::print_line(&format!("wrote {path}"));
    console::print_status(&format!(
        "run it with `sandbus test DIRECTORY --scenarios {path}`, where DIRECTORY contains {}\n{}",
        recording.plugin_names(),
        recording.notes(),
    ));
    Ok(())
}

async fn read(client: &Client, id: &str) -> anyhow::Result<Recording> {
    let found = client.events_with_id(id).await?;
    let logged = match found.value().events.as_slice() {
        [] => bail!("the log has no event with the id `{id}`"),
        [logged] => logged,
        several => {
            bail!("{} events of different sources have the id `{id}`; record one with another id", several.len())
        }
    };
    let event = members(logged)?;
    let mut recording = Recording {
        text: logged.event.0.get().to_owned(),
        stored_at: logged.stored_at.clone(),
        plugins: BTreeSet::new(),
        published: Vec::new(),
        dead_letters: Vec::new(),
        span: Duration::ZERO,
        responses: Responses::default(),
        event,
    };
    let mut tree = BTreeSet::from([key(&recording.event, "source", "id")]);
    for later in events_after(client, logged.position).await? {
        let event = members(&later)?;
        if tree.contains(&key(&event, CAUSATION_SOURCE, CAUSATION_ID)) {
            tree.insert(key(&event, "source", "id"));
            recording.extend_span(&later.stored_at);
            recording.published.push(event);
        }
    }
    let dead = fetch::<DeadLetterPage>(client, &DeadLetterQuery::default(), None, usize::MAX).await?;
    for letter in &dead.value().dead_letters {
        if tree.contains(&key(&members(&letter.logged)?, "source", "id")) {
            recording.extend_span(&letter.dead_lettered_at);
            recording.plugins.extend(letter.subscription.split_once('/').map(|(owner, _)| owner.to_owned()));
            recording.dead_letters.push(json!({
                "subscription": letter.subscription, "cause": letter.cause, "attempts": letter.attempts,
            }));
        }
    }
    recording.add_plugins(client).await?;
    recording.responses = responses::read(client, &tree).await.unwrap_or_else(|error| {
        // The rest does not depend on the ledger.
        console::print_status(&format!("recorded without responses of other services: {error:#}"));
        Responses::default()
    });
    Ok(recording)
}

/// The events after a position, in the order of the log.
async fn events_after(client: &Client, position: u64) -> anyhow::Result<Vec<EventView>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page: crate::cli::response::Response<EventPage> = client.page(&EventQuery::default(), PAGE, cursor).await?;
        let events = &page.value().events;
        let later = events.iter().take_while(|logged| logged.position > position);
        let count = found.len();
        found.extend(later.cloned());
        cursor = page.value().next.clone();
        if cursor.is_none() || found.len() - count < events.len() {
            found.reverse();
            return Ok(found);
        }
    }
}

impl Recording {
    fn extend_span(&mut self, until: &str) {
        let (Some(start), Some(end)) = (Timestamp::parse(&self.stored_at), Timestamp::parse(until)) else { return };
        self.span = self.span.max(end.since(start));
    }

    /// Adds the plugins that published the events, and those with subscriptions that match them.
    async fn add_plugins(&mut self, client: &Client) -> anyhow::Result<()> {
        let sources = self.published.iter().filter_map(|event| publishing_plugin(event["source"].as_str()?));
        self.plugins.extend(sources.map(str::to_owned).collect::<Vec<_>>());
        let all = || [&self.event].into_iter().chain(&self.published);
        let types: BTreeSet<_> = all().filter_map(|event| event["type"].as_str()).map(str::to_owned).collect();
        let subscriptions = fetch_all::<SubscriptionList>(client).await?;
        for subscription in &subscriptions.value().subscriptions {
            let TargetView::Plugin { plugin } = &subscription.rules.target else { continue };
            let Ok(pattern) = Pattern::parse(&subscription.rules.pattern) else { continue };
            if types.iter().any(|event_type| pattern.matches(event_type)) {
                self.plugins.insert(plugin.clone());
            }
        }
        match self.plugins.is_empty() {
            true => bail!("no plugin of the host subscribes to events of the type {}", self.event["type"]),
            false => Ok(()),
        }
    }

    /// The step that publishes the event. None if TOML cannot express it.
    fn inline_step(&self) -> Option<String> {
        if self.event.contains_key("data_base64") {
            return None;
        }
        let mut step = format!("event = {}\n", toml_value(&self.event["type"])?);
        for name in ["id", "source", "subject", "data"] {
            if let Some(value) = self.event.get(name) {
                step.push_str(&format!("{name} = {}\n", toml_value(value)?));
            }
        }
        let others =
            self.event.iter().filter(|(name, _)| !STEP_KEYS.contains(&name.as_str()) && !is_host_attribute(name));
        let others: Map<_, _> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        if !others.is_empty() {
            step.push_str(&format!("attributes = {}\n", toml_value(&others.into())?));
        }
        Some(step)
    }

    /// The table of a plugin's preconditions.
    fn given(&self, plugin: &str) -> String {
        match self.plugins.len() {
            1 => "given".to_owned(),
            _ => format!("given.plugins.{plugin}"),
        }
    }

    /// The preconditions that are recorded, as lines of a scenario.
    fn preconditions(&self) -> String {
        let line = |(plugin, config): (&String, _)| {
            let config = toml_value(&json!(config)).unwrap_or_default();
            format!("# These stand for values that the host keeps secret.\n{}.config = {config}\n", self.given(plugin))
        };
        // A subscription that received the event may be deleted since.
        let of_plugins = self.responses.config.iter().filter(|(plugin, _)| self.plugins.contains(*plugin));
        let config: String = of_plugins.map(line).collect();
        config + &self.responses.to_toml()
    }

    /// The preconditions that are not recorded, as comments with lines of a scenario. Their values change nothing.
    fn missing_preconditions(&self) -> String {
        let has_config = |plugin: &String| self.responses.config.contains_key(plugin);
        let of_plugin = |plugin: &String| {
            let keys = [Some("state"), (!has_config(plugin)).then_some("config")];
            let given = self.given(plugin);
            keys.into_iter().flatten().map(move |key| format!("# {given}.{key} = {{ }}\n"))
        };
        let mut text =
            "# The host does not keep the state of the plugins before the event and their configuration. Add what\n\
                        # matters:\n"
                .to_owned();
        text.extend(self.plugins.iter().flat_map(of_plugin));
        if self.responses.are_incomplete() {
            text.push_str(
                "# The ledger does not have all responses of other services. A host records them with\n\
                 # `record_responses = true` in [ledger]. Add what is missing:\n\
                 # given.http = [{ request = \"GET https://api.example.com/\", json = { } }]\n",
            );
        }
        text
    }

    /// What the file contains, and what it lacks.
    fn notes(&self) -> String {
        let mut notes =
            "not recorded, because the host does not keep it: the state of the plugins before the event, and \
                         their configuration"
                .to_owned();
        if self.responses.are_incomplete() {
            notes.push_str(
                "; and responses of other services that the ledger does not have (`record_responses = true` in \
                 [ledger] records them)",
            );
        }
        notes.push_str(". Comments in the file have the lines to add");
        if self.responses.has_some() {
            notes.push_str("\nthe file has URLs and responses of other services; look for secrets before you share it");
        }
        notes
    }

    fn plugin_names(&self) -> String {
        join_names(self.plugins.iter().map(String::as_str))
    }

    fn to_toml(&self, id: &str, step: &str) -> String {
        let text = |value: Value| toml_value(&value).unwrap_or_default();
        let plugins = match self.plugins.len() {
            1 => format!("plugin = {}", text(json!(self.plugins.first()))),
            _ => format!("plugins = {}", text(json!(self.plugins))),
        };
        let name =
            format!("{} with the id {id} has the recorded effects", self.event["type"].as_str().unwrap_or_default());
        let mut toml = format!(
            "# Recorded with `sandbus test --record`.\n{}{plugins}\n\n[[scenario]]\nname = {}\ngiven.time = {}\n{}{}\n\
             [[scenario.step]]\n{step}\n",
            if self.responses.has_some() { RESPONSES_NOTE } else { "" },
            text(json!(name)),
            text(json!(self.stored_at)),
            self.preconditions(),
            self.missing_preconditions(),
        );
        let has_retries = self.dead_letters.iter().any(|letter| letter["attempts"].as_u64() > Some(1));
        if has_retries || self.responses.has_retries || self.span >= AT_ONCE {
            // Delays of retries have no jitter in a scenario, so they are longer.
            let advance = format!("{}s", 2 * self.span.as_secs() + 1);
            toml.push_str(&format!("[[scenario.step]]\nadvance = \"{advance}\"\n\n"));
        }
        toml.push_str("[scenario.then]\n");
        let published: Vec<_> = self.published.iter().map(|event| format!("    {},\n", expected(event))).collect();
        let published = if published.is_empty() { String::new() } else { format!("\n{}", published.concat()) };
        toml.push_str(&format!("published = [{published}]\n"));
        toml.push_str(&format!("dead_letters = {}\n", text(self.dead_letters.clone().into())));
        toml
    }
}

/// What a scenario expects of a published event. Ids and times are not the same in a scenario.
fn expected(event: &Map<String, Value>) -> String {
    let mut members = Map::new();
    for name in ["type", "source", "subject", "data"] {
        let value = event.get(name).filter(|value| toml_value(value).is_some());
        members.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    let expected = toml_value(&members.into()).unwrap_or_default();
    match event.get("data").is_some_and(|data| toml_value(data).is_none()) {
        true => format!("# TOML cannot express the data of this event, so it is not compared.\n    {expected}"),
        false => expected,
    }
}

/// The members of an inline table, whose values are in TOML.
fn toml_parts(members: &[(&str, String)]) -> String {
    members.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

/// A value in TOML, in one line. None if TOML cannot express it.
fn toml_value(value: &Value) -> Option<String> {
    toml::Value::try_from(value).ok().map(|value| value.to_string())
}

/// The members of an event. Those with numbers or texts that no program can hold, such as 1e400, are null, because TOML
/// cannot express them either.
fn members(logged: &EventView) -> anyhow::Result<Map<String, Value>> {
    let raw: BTreeMap<String, &RawValue> =
        serde_json::from_str(logged.event.0.get()).context("the host's response has an event that is not an object")?;
    Ok(raw.into_iter().map(|(name, value)| (name, serde_json::from_str(value.get()).unwrap_or_default())).collect())
}

fn key(event: &Map<String, Value>, source: &str, id: &str) -> (String, String) {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text(source), text(id))
}
