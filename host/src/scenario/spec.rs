//! The form that scenarios have in files: TOML or JSON, with no key that is not known.
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

use serde::Deserialize;
use serde_json::{Value, json};

use super::ScenarioError;
use crate::clock::Timestamp;
use crate::endpoint;
use crate::event::Event;
use crate::ingress::cloudevents::{self, Mode};
use crate::outbound::{self, Stub};
use crate::plugin::Sidecar;
use crate::toml_file;

/// A file of scenarios.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// The plugin that they are for, as its file is called without `.wasm`. Needed where there are several.
    pub plugin: Option<String>,
    /// The scenarios.
    #[serde(rename = "scenario", default)]
    pub scenarios: Vec<ScenarioSpec>,
}

/// One scenario as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioSpec {
    /// What it shows, as a sentence.
    pub name: String,
    /// What there is before.
    #[serde(default)]
    pub given: Preconditions,
    /// What happens, in order, and what follows from each.
    #[serde(rename = "step")]
    pub steps: Vec<StepSpec>,
    /// What has happened at the end, all steps together.
    #[serde(default)]
    pub then: Expectations,
}

/// What there is before the first step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preconditions {
    /// The time at the beginning, in RFC 3339; the start of 2030 when left out.
    pub time: Option<String>,
    /// The plugin's state, as JSON values.
    pub state: BTreeMap<String, Value>,
    /// More of its state, as texts that are stored as they are.
    pub state_text: BTreeMap<String, String>,
    /// Values of its configuration.
    pub config: BTreeMap<String, String>,
    /// What the requests are answered that it sends; the first one that fits counts. Their hosts are granted.
    pub http: Vec<StubSpec>,
    /// The rest of its sidecar: limits, grants, rules for its subscriptions.
    pub sidecar: Sidecar,
}

/// An answer to a request that the plugin sends, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StubSpec {
    /// The method and the address, as in `GET https://api.example.com/rates`. `*` at its end stands for any rest.
    pub request: String,
    /// The status; 200 when left out.
    #[serde(default = "default_status")]
    pub status: u16,
    /// The headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, in JSON.
    pub json: Option<Value>,
    /// The body, as it is.
    pub body: Option<String>,
}

fn default_status() -> u16 {
    200
}

impl StubSpec {
    fn host(&self) -> Result<String, ScenarioError> {
        let malformed =
            |reason| ScenarioError::Malformed(format!("`{}` is no request to answer: {reason}", self.request));
        let (_, address) = self.request.split_once(' ').ok_or_else(|| malformed("it has no method".to_owned()))?;
        endpoint::host_and_port(address.trim_end_matches('*')).map_err(malformed)
    }

    fn stub(&self) -> Stub {
        let mut headers: Vec<_> = self.headers.clone().into_iter().collect();
        let names_its_type = self.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        if self.json.is_some() && !names_its_type {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let json = self.json.as_ref().map(Value::to_string);
        let body = json.or_else(|| self.body.clone()).unwrap_or_default().into_bytes();
        Stub { request: self.request.clone(), status: self.status, headers, body }
    }
}

/// One step as it is written: exactly one of `event`, `request`, `events` and `advance`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepSpec {
    /// An event of this type is published.
    event: Option<String>,
    /// Its id; by default its number among the steps.
    id: Option<String>,
    /// Where it comes from; `/scenario` when left out.
    source: Option<String>,
    /// What it is about.
    subject: Option<String>,
    /// Its extension attributes.
    attributes: BTreeMap<String, Value>,
    /// Its data.
    data: Option<Value>,
    /// A request is made, as in `POST /register`.
    request: Option<String>,
    /// The request's headers.
    headers: BTreeMap<String, String>,
    /// The request's body, in JSON.
    json: Option<Value>,
    /// The request's body, as it is.
    body: Option<String>,
    /// Events are published that stand in a file, one in JSON a line, as `sandbus events export` writes them.
    events: Option<String>,
    /// Time passes.
    advance: Option<String>,
    /// When the step happens: `+5m` after the beginning, or a time in RFC 3339; at once when left out.
    at: Option<String>,
    /// What follows.
    then: Expectations,
}

/// What is expected. What is not named is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectations {
    /// How the last attempt ended: `ack`, `retry`, `reject`, or the cause of a failure such as `trap`.
    pub outcome: Option<String>,
    /// All attempts in order, each in part: `subscription`, `event`, `attempt`, `outcome`, `cause`, `reason`, `at`.
    pub attempts: Option<Vec<Value>>,
    /// All events that entered the log besides those of the steps, in order, each in part.
    pub published: Option<Vec<Value>>,
    /// All events that come later, the next one first, each in part, with `at`.
    pub scheduled: Option<Vec<Value>>,
    /// Keys of the plugin's state with their values, in part.
    pub state: BTreeMap<String, Value>,
    /// Keys that the plugin's state does not have.
    pub absent: Vec<String>,
    /// Parts of log lines, in this order; each line begins with its level.
    pub logs: Vec<String>,
    /// All dead letters, in order, each in part: `subscription`, `event`, `cause`, `reason`, `attempts`.
    pub dead_letters: Option<Vec<Value>>,
    /// All subscriptions that were made at run time, in part, with their rules.
    pub subscriptions: Option<Vec<Value>>,
    /// What the request was answered, in part: `status`, `headers`, `json`, `body`.
    pub response: Option<Value>,
    /// All requests that the plugin sent, in order, each in part: `request`, `headers`, `json`, `body`.
    pub requests: Option<Vec<Value>>,
}

/// What happens, and when.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, after the beginning; at once if there is none.
    pub at: Option<Moment>,
    /// What.
    pub action: Action,
}

/// A time in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long after the beginning.
    After(Duration),
    /// At a time.
    At(Timestamp),
}

/// What happens in a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// Events are published together.
    Publish(Vec<Event>),
    /// A request is made.
    Request {
        /// The method.
        method: String,
        /// The path, with a query if there is one.
        target: String,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Time passes.
    Advance(Duration),
}

impl ScenarioFile {
    /// Reads a file: JSON if it is called so, else TOML.
    ///
    /// # Errors
    /// If it cannot be read, or what is wrong in it and where.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = read(path)?;
        let parsed = match path.extension().is_some_and(|extension| extension == "json") {
            true => serde_json::from_str(&text).map_err(|error| error.to_string()),
            false => toml_file::parse(&text).map_err(|malformed| malformed.to_string()),
        };
        parsed.map_err(|error| ScenarioError::Malformed(format!("{}: {}", path.display(), error.trim_end())))
    }
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path).map_err(|error| ScenarioError::Read { path: path.to_owned(), error })
}

impl Preconditions {
    /// The sidecar with the configuration and the hosts of the stubs put in.
    ///
    /// # Errors
    /// If a stub names no host.
    pub fn effective_sidecar(&self) -> Result<Sidecar, ScenarioError> {
        let mut sidecar = self.sidecar.clone();
        sidecar.config.extend(self.config.clone());
        let hosts: Vec<_> = self.http.iter().map(StubSpec::host).collect::<Result<_, _>>()?;
        sidecar.grants.http.extend(hosts);
        Ok(sidecar)
    }

    /// What answers the requests that plugins send.
    #[must_use]
    pub fn outbound(&self) -> outbound::StubServer {
        outbound::StubServer::new(self.http.iter().map(StubSpec::stub).collect())
    }

    /// The state in bytes.
    #[must_use]
    pub fn state_bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let json = self.state.iter().map(|(key, value)| (key.clone(), value.to_string().into_bytes()));
        let text = self.state_text.iter().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
        json.chain(text).collect()
    }

    /// The time at the beginning.
    ///
    /// # Errors
    /// If it is none.
    pub fn start_time(&self) -> Result<Timestamp, ScenarioError> {
        parse_time(self.time.as_deref().unwrap_or("2030-01-01T00:00:00Z"))
    }
}

fn parse_time(text: &str) -> Result<Timestamp, ScenarioError> {
    Timestamp::parse(text).ok_or_else(|| ScenarioError::Malformed(format!("`{text}` is no time in RFC 3339")))
}

fn parse_duration(text: &str) -> Result<Duration, ScenarioError> {
    humantime::parse_duration(text)
        .map_err(|error| ScenarioError::Malformed(format!("`{text}` is no length of time: {error}")))
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
    /// What is expected.
    #[must_use]
    pub fn then(&self) -> &Expectations {
        &self.then
    }

    /// The step's name in a report.
    #[must_use]
    pub fn title(&self) -> String {
        let all = [("", &self.event), ("", &self.request), ("events ", &self.events), ("advance ", &self.advance)];
        let named = all.into_iter().find_map(|(prefix, text)| text.as_ref().map(|text| format!("{prefix}{text}")));
        named.unwrap_or_default()
    }

    /// Reads the step, the `number`th; files are looked for in a folder.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, number: usize, folder: &Path) -> Result<Step, ScenarioError> {
        let at = self.at.as_deref().map(Moment::parse).transpose()?;
        let action = match (&self.event, &self.request, &self.events, &self.advance) {
            (Some(event_type), None, None, None) => Action::Publish(vec![self.build_event(event_type, number)?]),
            (None, Some(request), None, None) => self.build_request(request)?,
            (None, None, Some(file), None) => Action::Publish(read_events(&folder.join(file))?),
            (None, None, None, Some(time)) => Action::Advance(parse_duration(time)?),
            _ => {
                let reason = "a step has exactly one of `event`, `request`, `events` and `advance`";
                return Err(ScenarioError::Malformed(reason.to_owned()));
            }
        };
        self.check_keys(&action)?;
        Ok(Step { at, action })
    }

    /// A key that belongs to another kind of step would have no meaning.
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
            () if self.json.is_some() && self.body.is_some() => "a request has `json` or `body`, and not both",
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
                "`{request}` is no request; write it like \"POST /register\""
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

/// Reads an event in JSON as the ingress does.
pub(super) fn parse_event(json: &str) -> Result<Event, ScenarioError> {
    let parsed = cloudevents::parse(Mode::Structured, &axum::http::HeaderMap::new(), json.as_bytes().to_vec());
    let mut events = parsed.map_err(|problem| ScenarioError::Malformed(format!("{}: {json}", problem.detail())))?;
    events.pop().ok_or_else(|| ScenarioError::Malformed(format!("there is no event in {json}")))
}

/// Events that were recorded, one in each line.
fn read_events(path: &Path) -> Result<Vec<Event>, ScenarioError> {
    let text = read(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(index, line): (usize, &str)| {
        parse_event(line)
            .map_err(|error| ScenarioError::Malformed(format!("{}:{}: {error}", path.display(), index + 1)))
    };
    lines.map(parse).collect()
}
