//! Builds scenarios in Rust tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::preconditions::{Preconditions, StubSpec};
use super::runner::{self, Inputs, PluginInput};
use super::spec::{Action, Moment, Step, parse_event};
use super::{ScenarioError, ScenarioResult};
use crate::plugin::Sidecar;

/// A builder of a scenario.
#[derive(Debug)]
pub struct Scenario {
    wasm: PathBuf,
    others: Vec<PathBuf>,
    given: Preconditions,
    steps: Vec<Step>,
    at: Option<Moment>,
    /// The first malformed step. `run` reports it, so that builder calls can be chained.
    mistake: Option<ScenarioError>,
}

impl Scenario {
    /// A scenario for a plugin's `.wasm` file.
    #[must_use]
    pub fn of(wasm: impl AsRef<Path>) -> Self {
        let wasm = wasm.as_ref().to_owned();
        Self { wasm, others: Vec::new(), given: Preconditions::default(), steps: Vec::new(), at: None, mistake: None }
    }

    /// Adds another plugin. Its state is empty at the start and not part of the result.
    #[must_use]
    pub fn with(mut self, wasm: impl AsRef<Path>) -> Self {
        self.others.push(wasm.as_ref().to_owned());
        self
    }

    /// Sets a key of the plugin's state to a JSON value, as the SDKs write it.
    #[must_use]
    pub fn state(mut self, key: &str, value: Value) -> Self {
        self.given.state.insert(key.to_owned(), value);
        self
    }

    /// Sets a configuration value of the plugin.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.given.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the plugin's sidecar.
    #[must_use]
    pub fn sidecar(mut self, sidecar: Sidecar) -> Self {
        self.given.sidecar = sidecar;
        self
    }

    /// Answers a request of the plugin, such as `GET https://api.example.com/rates`, with a status and JSON. A final
    /// `*` matches any suffix. Grants the host of the request.
    #[must_use]
    pub fn http(mut self, request: &str, status: u16, json: Value) -> Self {
        let (request, status, json) = (request.to_owned(), Some(status), Some(json));
        self.given.http.push(StubSpec { request, status, json, ..StubSpec::default() });
        self
    }

    /// Runs the next step this long after the start.
    #[must_use]
    pub fn at(mut self, after: Duration) -> Self {
        self.at = Some(Moment::After(after));
        self
    }

    /// Publishes an event with JSON data. Its id is the number of the step.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
    pub fn event(self, event_type: &str, data: Value) -> Self {
        let id = (self.steps.len() + 1).to_string();
        self.cloudevent(json!({
            "specversion": "1.0", "id": id, "source": "/scenario", "type": event_type, "data": data,
        }))
    }

    /// Publishes a CloudEvent in JSON.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
    pub fn cloudevent(mut self, event: Value) -> Self {
        match parse_event(&event.to_string()) {
            Ok(event) => self.step(Action::Publish(vec![event])),
            Err(error) => {
                self.mistake.get_or_insert(error);
                self
            }
        }
    }

    /// Sends a request with a JSON body.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "tests write values in place")]
    pub fn request(self, method: &str, target: &str, body: Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let (method, target) = (method.to_owned(), target.to_owned());
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.step(Action::Request { method, target, headers, body })
    }

    /// Advances the time. Retries, delayed events and schedules run when they are due.
    #[must_use]
    pub fn advance(self, time: Duration) -> Self {
        self.step(Action::Advance(time))
    }

    fn step(mut self, action: Action) -> Self {
        self.steps.push(Step { at: self.at.take(), action });
        self
    }

    /// Runs the scenario.
    ///
    /// # Errors
    /// If the scenario cannot run. Failures of handlers are part of the result.
    pub fn run(self) -> Result<ScenarioResult, ScenarioError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let hosts = self.given.stub_hosts()?;
        let subject = self.given.of_plugin("", true);
        let sidecar = subject.effective_sidecar(&Sidecar::default(), &hosts);
        let others = self.others.iter().map(|wasm| PluginInput::new(wasm, Sidecar::default()));
        let mut plugins: Vec<_> = others.collect();
        plugins.push(PluginInput { state: subject.state_bytes(), ..PluginInput::new(&self.wasm, sidecar) });
        let subject = Some(plugins.len() - 1);
        runner::run_steps(&Inputs { plugins, subject, given: &self.given }, &self.steps)
    }
}
