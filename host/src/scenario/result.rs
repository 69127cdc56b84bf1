//! What a scenario came to.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A scenario that was played.
#[derive(Clone, Debug)]
pub struct ScenarioResult {
    /// What each step led to.
    pub steps: Vec<StepResult>,
    /// All of it together.
    pub all: StepResult,
}

/// What was seen during a step, and how things stood after it.
#[derive(Clone, Debug, Default)]
pub struct StepResult {
    /// The attempts at deliveries, in order.
    pub attempts: Vec<AttemptSummary>,
    /// The events that entered the log besides those of the steps, in order.
    pub published: Vec<Value>,
    /// The plugins' log lines, each with its level in front.
    pub logs: Vec<String>,
    /// What the request was answered, if it was one: `status`, `headers`, and `json` or `body`.
    pub response: Option<Value>,
    /// The requests that the plugins sent, in order.
    pub requests: Vec<Value>,
    /// The plugin's state afterwards.
    pub state: BTreeMap<String, Value>,
    /// The events that come later, afterwards.
    pub scheduled: Vec<Value>,
    /// The dead letters, afterwards.
    pub dead_letters: Vec<Value>,
    /// The subscriptions that were made at run time, afterwards.
    pub subscriptions: Vec<Value>,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptSummary {
    /// The subscription, as `PLUGIN/NAME`.
    pub subscription: String,
    /// The event's id.
    pub event: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When, after the beginning, as in `+1s`.
    pub at: String,
    /// `ack`, `retry` or `reject`.
    pub outcome: &'static str,
    /// The cause of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// What happened, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ScenarioResult {
    /// The events that entered the log besides those of the steps, as CloudEvents in JSON.
    #[must_use]
    pub fn published(&self) -> &[Value] {
        &self.all.published
    }

    /// The value of a key of the plugin's state at the end.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<&Value> {
        self.all.state.get(key)
    }

    /// How each attempt ended: `ack`, or the cause of its failure.
    #[must_use]
    pub fn outcomes(&self) -> Vec<&'static str> {
        self.all.attempts.iter().map(|attempt| attempt.cause.unwrap_or(attempt.outcome)).collect()
    }

    /// The plugins' log lines.
    #[must_use]
    pub fn logs(&self) -> &[String] {
        &self.all.logs
    }

    /// The requests that the plugins sent.
    #[must_use]
    pub fn requests(&self) -> &[Value] {
        &self.all.requests
    }

    /// The dead letters at the end.
    #[must_use]
    pub fn dead_letters(&self) -> &[Value] {
        &self.all.dead_letters
    }

    /// What the last request was answered.
    #[must_use]
    pub fn response(&self) -> Option<&Value> {
        self.all.response.as_ref()
    }
}

impl StepResult {
    /// Takes over what a later step led to.
    pub(super) fn append(&mut self, later: Self) {
        let before = std::mem::replace(self, later);
        self.attempts.splice(..0, before.attempts);
        self.published.splice(..0, before.published);
        self.requests.splice(..0, before.requests);
        self.logs.splice(..0, before.logs);
        self.response = self.response.take().or(before.response);
    }
}
