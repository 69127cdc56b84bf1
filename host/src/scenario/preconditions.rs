//! The preconditions of scenarios: state, configuration and stubs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::ScenarioError;
use crate::clock::Timestamp;
use crate::endpoint;
use crate::outbound::{self, Stub};
use crate::plugin::Sidecar;

/// A JSON value of a file with its key.
pub(super) type KeyedValue<'a> = (&'static str, &'a Value);

/// The state of the host before the first step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preconditions {
    /// The start time in RFC 3339; the start of 2030 by default.
    pub time: Option<String>,
    /// The plugin's state, as JSON values.
    pub state: BTreeMap<String, Value>,
    /// More of the plugin's state, as text that is stored verbatim.
    pub state_text: BTreeMap<String, String>,
    /// The plugin's configuration.
    pub config: BTreeMap<String, String>,
    /// The stubs that answer the plugin's requests. The first match applies. Their hosts are granted.
    pub http: Vec<StubSpec>,
    /// The rest of the plugin's sidecar: limits, grants and subscription rules.
    pub sidecar: Sidecar,
    /// The preconditions of each plugin, by name, if there are several.
    pub plugins: BTreeMap<String, PluginPreconditions>,
}

/// The preconditions of one plugin.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginPreconditions {
    /// Its state, as JSON values.
    pub state: BTreeMap<String, Value>,
    /// More of its state, as text that is stored verbatim.
    pub state_text: BTreeMap<String, String>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// The rest of its sidecar.
    pub sidecar: Sidecar,
}

/// A stub that answers a request of the plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StubSpec {
    /// The method and the URL, such as `GET https://api.example.com/rates`. A final `*` matches any suffix.
    pub request: String,
    /// The status; 200 by default.
    #[serde(default = "default_status")]
    pub status: u16,
    /// The headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body in JSON.
    pub json: Option<Value>,
    /// The body as text.
    pub body: Option<String>,
}

fn default_status() -> u16 {
    200
}

impl StubSpec {
    fn host(&self) -> Result<String, ScenarioError> {
        let malformed = |reason| ScenarioError::Malformed(format!("the stub `{}` is invalid: {reason}", self.request));
        let (_, address) =
            self.request.split_once(' ').ok_or_else(|| malformed("write a method and a URL".to_owned()))?;
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

impl Preconditions {
    pub(super) fn values(&self) -> impl Iterator<Item = KeyedValue<'_>> {
        let of_plugins = self.plugins.values().flat_map(|plugin| plugin.state.values());
        let state = self.state.values().chain(of_plugins).map(|value| ("given.state", value));
        state.chain(self.http.iter().filter_map(|stub| Some(("given.http", stub.json.as_ref()?))))
    }

    /// The preconditions of a plugin: those under its name if the scenario has several plugins, otherwise all.
    #[must_use]
    pub fn of_plugin(&self, name: &str, is_only: bool) -> PluginPreconditions {
        let mut own = self.plugins.get(name).cloned().unwrap_or_default();
        if is_only {
            own.state.extend(self.state.clone());
            own.state_text.extend(self.state_text.clone());
            own.config.extend(self.config.clone());
            own.sidecar = self.sidecar.clone().over(&own.sidecar);
        }
        own
    }

    /// The hosts of the stubs, which plugins may reach.
    ///
    /// # Errors
    /// If a stub is invalid.
    pub fn stub_hosts(&self) -> Result<Vec<String>, ScenarioError> {
        self.http.iter().map(StubSpec::host).collect()
    }

    /// The server that answers the requests of plugins.
    #[must_use]
    pub fn outbound(&self) -> outbound::StubServer {
        outbound::StubServer::new(self.http.iter().map(StubSpec::stub).collect())
    }

    /// The start time.
    ///
    /// # Errors
    /// If it is not in RFC 3339.
    pub fn start_time(&self) -> Result<Timestamp, ScenarioError> {
        parse_time(self.time.as_deref().unwrap_or("2030-01-01T00:00:00Z"))
    }
}

impl PluginPreconditions {
    /// The plugin's sidecar merged over the defaults, with additional grants for hosts.
    #[must_use]
    pub fn effective_sidecar(&self, defaults: &Sidecar, hosts: &[String]) -> Sidecar {
        let mut sidecar = self.sidecar.clone().over(defaults);
        sidecar.config.extend(self.config.clone());
        sidecar.grants.http.extend(hosts.iter().cloned());
        sidecar
    }

    /// The plugin's state as bytes.
    #[must_use]
    pub fn state_bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let json = self.state.iter().map(|(key, value)| (key.clone(), value.to_string().into_bytes()));
        let text = self.state_text.iter().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
        json.chain(text).collect()
    }
}

pub(super) fn parse_time(text: &str) -> Result<Timestamp, ScenarioError> {
    Timestamp::parse(text).ok_or_else(|| {
        ScenarioError::Malformed(format!("`{text}` is not a time in RFC 3339, such as 2030-01-31T12:00:00Z"))
    })
}
