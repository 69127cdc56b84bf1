//! The result of a scenario.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The result of a scenario.
#[derive(Clone, Debug)]
pub struct ScenarioResult {
    /// The result of each step.
    pub steps: Vec<StepResult>,
    /// The results of all steps together.
    pub all: StepResult,
}

/// The activity during a step, and the state after it.
#[derive(Clone, Debug, Default)]
pub struct StepResult {
    /// The attempts at deliveries, in order.
    pub attempts: Vec<AttemptSummary>,
    /// The events that plugins and schedules added to the log, in order.
    pub published: Vec<Value>,
    /// The log lines of plugins, each as `LEVEL message`.
    pub logs: Vec<String>,
    /// The response to the request of the step, if any: `status`, `headers`, and `json` or `body`.
    pub response: Option<Value>,
    /// The requests that the plugins sent, in order.
    pub requests: Vec<Value>,
    /// The state of the plugin under test after the step; empty if a file tests several plugins.
    pub state: BTreeMap<String, Value>,
    /// The delayed events after the step.
    pub scheduled: Vec<Value>,
    /// The dead letters after the step.
    pub dead_letters: Vec<Value>,
    /// The dynamic subscriptions after the step.
    pub subscriptions: Vec<Value>,
    /// The part of each plugin, by its name in the scenario. It has no response and no parts itself.
    pub plugins: BTreeMap<String, StepResult>,
}

/// An attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptSummary {
    /// The subscription, as `OWNER/NAME`.
    pub subscription: String,
    /// The event's id.
    pub event: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The time since the start, such as `+1s`.
    pub at: String,
    /// `ack`, `retry` or `reject`.
    pub outcome: &'static str,
    /// The cause of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// The reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ScenarioResult {
    /// The events that plugins and schedules added to the log, as CloudEvents in JSON.
    #[must_use]
    pub fn published(&self) -> &[Value] {
        &self.all.published
    }

    /// The value of a key of the plugin's state at the end.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<&Value> {
        self.all.state.get(key)
    }

    /// The end of each attempt: `ack`, or the cause of the failure.
    #[must_use]
    pub fn outcomes(&self) -> Vec<&'static str> {
        self.all.attempts.iter().map(|attempt| attempt.cause.unwrap_or(attempt.outcome)).collect()
    }

    /// The log lines of plugins.
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

    /// The response to the last request.
    #[must_use]
    pub fn response(&self) -> Option<&Value> {
        self.all.response.as_ref()
    }
}

impl StepResult {
    /// Appends the result of a later step.
    pub(super) fn append(&mut self, later: Self) {
        let before = std::mem::replace(self, later);
        self.attempts.splice(..0, before.attempts);
        self.published.splice(..0, before.published);
        self.requests.splice(..0, before.requests);
        self.logs.splice(..0, before.logs);
        self.response = self.response.take().or(before.response);
        for (name, before) in before.plugins {
            let mut earlier = before;
            earlier.append(self.plugins.remove(&name).unwrap_or_default());
            self.plugins.insert(name, earlier);
        }
    }
}
