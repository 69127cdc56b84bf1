//! Scenario files in TOML or JSON. Unknown keys are rejected.
//!
//! ```toml
//! [[scenario]]
//! name = "a registered user is welcomed"
//! given.config = { greeting = "Hello" }
//! given.state = { total = 41 }
//!
//! [[scenario.step]]
//! event = "user.registered"
//! data = { user_id = "1", name = "Ada", email = "ada@example.com" }
//! then.outcome = "ack"
//! then.published = [{ type = "user.welcomed", data = { message = "Hello, Ada!" } }]
//! then.state = { total = 42 }
//! then.logs = ["Hello, Ada!"]
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ScenarioError;
use super::preconditions::{KeyedValue, Preconditions, parse_time};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::ingress::cloudevents::{self, Mode};
use crate::toml_file;

/// A file of scenarios.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "Scenarios of Sandbus plugins. `sandbus test` runs them.")]
#[schemars(extend("not" = {
    "required": ["plugin", "plugins"],
    "properties": { "plugins": { "minItems": 1 } },
}))]
pub struct ScenarioFile {
    /// The plugin to test: the name of its file without `.wasm`. Required if there are several plugins.
    pub plugin: Option<String>,
    /// The plugins that the scenarios test together: names, or paths of projects and components relative to the file.
    #[serde(default)]
    pub plugins: Vec<String>,
    /// The scenarios.
    #[serde(rename = "scenario", default)]
    pub scenarios: Vec<ScenarioSpec>,
}

/// A scenario of a file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioSpec {
    /// Its name: a sentence about the behaviour.
    pub name: String,
    /// The preconditions.
    #[serde(default)]
    pub given: Preconditions,
    /// The steps in order, with their expectations.
    #[serde(rename = "step")]
    pub steps: Vec<StepSpec>,
    /// The expectations of all steps together.
    #[serde(default)]
    pub then: Expectations,
}

/// A step of a scenario: exactly one of `event`, `request`, `events` and `advance`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [
    { "required": ["event"] },
    { "required": ["request"] },
    { "required": ["events"] },
    { "required": ["advance"] },
]))]
pub struct StepSpec {
    /// Publishes an event of this type.
    event: Option<String>,
    /// The id of the event; the number of the step by default.
    id: Option<String>,
    /// The source of the event; `/scenario` by default.
    source: Option<String>,
    /// The subject of the event.
    subject: Option<String>,
    /// The extension attributes of the event.
    attributes: BTreeMap<String, Value>,
    /// The data of the event.
    data: Option<Value>,
    /// Sends a request, such as `POST /register`.
    #[schemars(regex(pattern = "^[^ ]* /"))]
    request: Option<String>,
    /// The headers of the request.
    headers: BTreeMap<String, String>,
    /// The body of the request in JSON.
    json: Option<Value>,
    /// The body of the request as text.
    body: Option<String>,
    /// Publishes the events of a file with one event per line, as `sandbus events export` prints them.
    events: Option<String>,
    /// Advances the time.
    #[schemars(with = "Option<crate::duration::DurationText>")]
    advance: Option<String>,
    /// The time of the step: `+5m` since the start, or a time in RFC 3339; immediately by default.
    at: Option<String>,
    /// The expectations.
    then: Expectations,
}

/// Expectations. Omitted parts are not checked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expectations {
    /// The end of the last attempt: `ack`, `retry`, `reject`, or the cause of a failure such as `trap`.
    pub outcome: Option<String>,
    /// All attempts in order, with some of `subscription`, `event`, `attempt`, `outcome`, `cause`, `reason` and `at`.
    pub attempts: Option<Vec<Value>>,
    /// All events that plugins and schedules added to the log, in order, with some of their members.
    pub published: Option<Vec<Value>>,
    /// All delayed events in the order in which they are due, with some of their members and `at`.
    pub scheduled: Option<Vec<Value>>,
    /// Keys of the plugin's state with some members of their values.
    pub state: BTreeMap<String, Value>,
    /// Keys that the plugin's state does not have.
    pub absent: Vec<String>,
    /// Parts of log lines in order. Each line begins with its level.
    pub logs: Vec<String>,
    /// All dead letters in order, with some of `subscription`, `event`, `cause`, `reason` and `attempts`.
    pub dead_letters: Option<Vec<Value>>,
    /// All dynamic subscriptions, with some of their rules.
    pub subscriptions: Option<Vec<Value>>,
    /// The response to the request, with some of `status`, `headers`, `json` and `body`.
    pub response: Option<Value>,
    /// All requests of the plugins in order, with some of `plugin`, `request`, `headers`, `json` and `body`.
    pub requests: Option<Vec<Value>>,
    /// The expectations of each plugin, by name.
    pub plugins: BTreeMap<String, Expectations>,
}

/// An action and its time.
#[derive(Clone, Debug)]
pub struct Step {
    /// The time; immediately if there is none.
    pub at: Option<Moment>,
    /// The action.
    pub action: Action,
}

/// A time in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A duration since the start.
    After(Duration),
    /// A time.
    At(Timestamp),
}

/// The action of a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// Publishes a batch of events.
    Publish(Vec<Event>),
    /// Sends a request.
    Request {
        /// The method.
        method: String,
        /// The path and query.
        target: String,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Advances the time.
    Advance(Duration),
}

impl ScenarioFile {
    /// The JSON Schema of a file.
    pub(crate) fn schema() -> Value {
        toml_file::schema::<Self>("Sandbus scenarios")
    }

    /// Reads a file: JSON if its extension is `json`, else TOML.
    ///
    /// # Errors
    /// If the file cannot be read, or is malformed; with the place.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        Self::parse(path, &read(path)?)
    }

    /// Parses the text of a file, as [`Self::read`] does. Messages name the file by this path.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        let parsed = match path.extension().is_some_and(|extension| extension == "json") {
            true => serde_json::from_str(text).map_err(|error| error.to_string()),
            false => toml_file::parse(text).map_err(|malformed| malformed.to_string()),
        };
        let malformed = |error: &str| ScenarioError::Malformed(format!("{}: {}", path.display(), error.trim_end()));
        let file: Self = parsed.map_err(|error: String| match error.contains("recursion limit") {
            true => malformed(&too_deep("a value")),
            false => malformed(&error),
        })?;
        if file.plugin.is_some() && !file.plugins.is_empty() {
            return Err(malformed("a file has either `plugin` or `plugins`"));
        }
        file.check_depth().map_err(|error| malformed(&error))?;
        Ok(file)
    }

    /// Handlers and the host take no JSON that is nested deeper.
    fn check_depth(&self) -> Result<(), String> {
        for scenario in &self.scenarios {
            let steps = scenario.steps.iter().flat_map(StepSpec::values);
            let values = scenario.given.values().chain(steps).chain(scenario.then.values());
            if let Some((key, _)) = values.into_iter().find(|(_, value)| depth(value) > MAX_DEPTH) {
                return Err(format!("scenario `{}`: {}", scenario.name, too_deep(&format!("`{key}`"))));
            }
        }
        Ok(())
    }
}

/// The deepest nesting of a JSON value. The same limit applies to the data of events.
const MAX_DEPTH: usize = 100;

fn too_deep(value: &str) -> String {
    format!("{value} is nested deeper than {MAX_DEPTH} levels")
}

/// How deep a value is nested: 0 for a scalar. Parsers bound the recursion.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl Expectations {
    fn values(&self) -> Vec<KeyedValue<'_>> {
        let lists = [
            ("then.attempts", &self.attempts),
            ("then.published", &self.published),
            ("then.scheduled", &self.scheduled),
            ("then.dead_letters", &self.dead_letters),
            ("then.subscriptions", &self.subscriptions),
            ("then.requests", &self.requests),
        ];
        let lists = lists.into_iter().flat_map(|(key, list)| list.iter().flatten().map(move |value| (key, value)));
        let state = self.state.values().map(|value| ("then.state", value));
        let response = self.response.iter().map(|value| ("then.response", value));
        let own = lists.chain(state).chain(response);
        own.chain(self.plugins.values().flat_map(Self::values)).collect()
    }
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path).map_err(|error| ScenarioError::Read { path: path.to_owned(), error })
}

fn parse_duration(text: &str) -> Result<Duration, ScenarioError> {
    humantime::parse_duration(text)
        .map_err(|error| ScenarioError::Malformed(format!("`{text}` is not a duration such as 5s or 1h 30m: {error}")))
}

impl Moment {
    fn parse(text: &str) -> Result<Self, ScenarioError> {
        match text.strip_prefix('+') {
            Some(after) => parse_duration(after).map(Self::After),
            None => parse_time(text).map(Self::At),
        }
    }
}

impl StepSpec {
    fn values(&self) -> impl Iterator<Item = KeyedValue<'_>> {
        let data = self.data.iter().map(|value| ("data", value));
        let json = self.json.iter().map(|value| ("json", value));
        data.chain(json).chain(self.attributes.values().map(|value| ("attributes", value))).chain(self.then.values())
    }

    /// The expectations.
    #[must_use]
    pub fn then(&self) -> &Expectations {
        &self.then
    }

    /// The title of the step in a report.
    #[must_use]
    pub fn title(&self) -> String {
        let all = [("", &self.event), ("", &self.request), ("events ", &self.events), ("advance ", &self.advance)];
        let named = all.into_iter().find_map(|(prefix, text)| text.as_ref().map(|text| format!("{prefix}{text}")));
        named.unwrap_or_default()
    }

    /// Parses the step. Files are relative to the folder.
    ///
    /// # Errors
    /// If the step is malformed.
    pub fn parse(&self, number: usize, folder: &Path) -> Result<Step, ScenarioError> {
        self.parse_with(number, |file| {
            let path = folder.join(file);
            parse_events(&path, &read(&path)?)
        })
    }

    /// Parses the step, as [`Self::parse`] does. `read_events` reads the events of a file that the step names.
    pub(super) fn parse_with(
        &self,
        number: usize,
        read_events: impl FnOnce(&str) -> Result<Vec<Event>, ScenarioError>,
    ) -> Result<Step, ScenarioError> {
        let at = self.at.as_deref().map(Moment::parse).transpose()?;
        let action = match (&self.event, &self.request, &self.events, &self.advance) {
            (Some(event_type), None, None, None) => Action::Publish(vec![self.build_event(event_type, number)?]),
            (None, Some(request), None, None) => self.build_request(request)?,
            (None, None, Some(file), None) => Action::Publish(read_events(file)?),
            (None, None, None, Some(time)) => Action::Advance(parse_duration(time)?),
            _ => {
                let reason = "a step has exactly one of `event`, `request`, `events` and `advance`";
                return Err(ScenarioError::Malformed(reason.to_owned()));
            }
        };
        self.check_keys(&action)?;
        Ok(Step { at, action })
    }

    /// Rejects keys of other kinds of steps.
    fn check_keys(&self, action: &Action) -> Result<(), ScenarioError> {
        let is_event = self.event.is_some();
        let is_request = matches!(action, Action::Request { .. });
        let of_an_event = self.id.is_some() || self.source.is_some() || self.subject.is_some() || self.data.is_some();
        let of_a_request = self.json.is_some() || self.body.is_some() || !self.headers.is_empty();
        let wrong = match () {
            () if !is_event && (of_an_event || !self.attributes.is_empty()) => {
                "`id`, `source`, `subject`, `attributes` and `data` belong to an `event`"
            }
            () if !is_request && (of_a_request || self.then.response.is_some()) => {
                "`headers`, `json`, `body` and `then.response` belong to a `request`"
            }
            () if self.json.is_some() && self.body.is_some() => "a request has either `json` or `body`",
            () => return Ok(()),
        };
        Err(ScenarioError::Malformed(wrong.to_owned()))
    }

    fn build_event(&self, event_type: &str, number: usize) -> Result<Event, ScenarioError> {
        let id = self.id.clone().unwrap_or_else(|| number.to_string());
        let source = self.source.as_deref().unwrap_or("/scenario");
        let mut event = json!({ "specversion": "1.0", "id": id, "source": source, "type": event_type });
        if let Some(subject) = &self.subject {
            event["subject"] = subject.as_str().into();
        }
        for (name, value) in &self.attributes {
            event[name] = value.clone();
        }
        if let Some(data) = &self.data {
            event["data"] = data.clone();
        }
        parse_event(&event.to_string())
    }

    fn build_request(&self, request: &str) -> Result<Action, ScenarioError> {
        let Some((method, target)) = request.split_once(' ').filter(|(_, target)| target.starts_with('/')) else {
            return Err(ScenarioError::Malformed(format!(
                "`{request}` is not a request; write a method and a path, such as \"POST /register\""
            )));
        };
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        if self.json.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let json = self.json.as_ref().map(Value::to_string);
        let body = json.or_else(|| self.body.clone()).unwrap_or_default().into_bytes();
        Ok(Action::Request { method: method.to_owned(), target: target.to_owned(), headers, body })
    }
}

/// Parses an event in JSON with the rules of the ingress.
pub(super) fn parse_event(json: &str) -> Result<Event, ScenarioError> {
    let parsed = cloudevents::parse(Mode::Structured, &axum::http::HeaderMap::new(), json.as_bytes().to_vec());
    let mut events = parsed.map_err(|problem| ScenarioError::Malformed(format!("{}: {json}", problem.detail())))?;
    events.pop().ok_or_else(|| ScenarioError::Malformed(format!("there is no event in {json}")))
}

/// Reads a file with one event per line.
pub(super) fn parse_events(path: &Path, text: &str) -> Result<Vec<Event>, ScenarioError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(index, line): (usize, &str)| {
        parse_event(line)
            .map_err(|error| ScenarioError::Malformed(format!("{}:{}: {error}", path.display(), index + 1)))
    };
    lines.map(parse).collect()
}
