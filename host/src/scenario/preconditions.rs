//! The preconditions of scenarios: state, configuration and stubs.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::ScenarioError;
use crate::clock::Timestamp;
use crate::endpoint;
use crate::outbound::{self, Stub};
use crate::plugin::{ConfigValue, Sidecar};

/// A JSON value of a file with its key.
pub(super) type KeyedValue<'a> = (&'static str, &'a Value);

/// The state of the host before the first step.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
    /// The stubs that answer the plugin's requests. The first match with requests left applies. Their hosts are
    /// granted.
    pub http: Vec<StubSpec>,
    /// The rest of the plugin's sidecar: limits, grants and subscription rules.
    pub sidecar: Sidecar,
    /// The preconditions of each plugin, by name, if there are several.
    pub plugins: BTreeMap<String, PluginPreconditions>,
}

/// The preconditions of one plugin.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubSpec {
    /// The method and the URL, such as `GET https://api.example.com/rates`. A final `*` matches any suffix.
    pub request: String,
    /// How many requests it answers before the next matching stub does; all by default.
    pub times: Option<NonZeroU32>,
    /// The reason why the request fails without a response.
    pub error: Option<String>,
    /// The status; 200 by default.
    pub status: Option<u16>,
    /// The headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body in JSON.
    pub json: Option<Value>,
    /// The body as text.
    pub body: Option<String>,
    /// The body in Base64, if it is not text.
    pub body_base64: Option<String>,
}

impl StubSpec {
    fn malformed(&self, reason: impl Display) -> ScenarioError {
        ScenarioError::Malformed(format!("the stub `{}` is invalid: {reason}", self.request))
    }

    fn host(&self) -> Result<String, ScenarioError> {
        let (_, address) = self.request.split_once(' ').ok_or_else(|| self.malformed("write a method and a URL"))?;
        endpoint::host_and_port(address.trim_end_matches('*')).map_err(|reason| self.malformed(reason))
    }

    fn stub(&self) -> Result<Stub, ScenarioError> {
        let bodies = [self.json.is_some(), self.body.is_some(), self.body_base64.is_some()];
        let bodies = bodies.into_iter().filter(|is_given| *is_given).count();
        if bodies > 1 {
            return Err(self.malformed("a stub has one of `json`, `body` and `body_base64`"));
        }
        if self.error.is_some() && (bodies > 0 || self.status.is_some() || !self.headers.is_empty()) {
            return Err(self.malformed("with `error` there is no response, so it has no status, headers or body"));
        }
        let mut headers: Vec<_> = self.headers.clone().into_iter().collect();
        let names_its_type = self.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        if self.json.is_some() && !names_its_type {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let binary = self.body_base64.as_ref().map(|text| BASE64.decode(text)).transpose();
        let binary = binary.map_err(|error| self.malformed(format!("`body_base64` is not Base64: {error}")))?;
        let text = self.json.as_ref().map(Value::to_string).or_else(|| self.body.clone());
        let body = binary.unwrap_or_else(|| text.unwrap_or_default().into_bytes());
        let (request, error) = (self.request.clone(), self.error.clone());
        Ok(Stub { request, times: self.times, error, status: self.status.unwrap_or(200), headers, body })
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
    ///
    /// # Errors
    /// If a stub is invalid.
    pub fn outbound(&self) -> Result<outbound::StubServer, ScenarioError> {
        self.http.iter().map(StubSpec::stub).collect::<Result<_, _>>().map(outbound::StubServer::new)
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
        let config = self.config.iter().map(|(key, text)| (key.clone(), ConfigValue::Text(text.clone())));
        sidecar.config.extend(config);
        sidecar.grants.http.extend(hosts.iter().cloned());
        sidecar.without_host()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(keys: &str) -> Result<Stub, String> {
        let spec: StubSpec = toml::from_str(&format!("request = \"GET http://a/\"\n{keys}")).unwrap();
        spec.stub().map_err(|error| error.to_string())
    }

    #[test]
    fn a_stub_has_one_response() {
        assert_eq!(stub("body_base64 = \"/w==\"").unwrap().body, [255]);
        assert_eq!((stub("times = 2").unwrap().times, stub("").unwrap().status), (NonZeroU32::new(2), 200));
        for (keys, expected) in [
            ("json = 1\nbody = \"\"", "one of `json`, `body` and `body_base64`"),
            ("error = \"away\"\nstatus = 503", "there is no response"),
            ("body_base64 = \"?\"", "not Base64"),
        ] {
            let error = stub(keys).unwrap_err();
            assert!(error.contains(expected) && error.contains("GET http://a/"), "{error}");
        }
        assert!(toml::from_str::<StubSpec>("request = \"GET http://a/\"\ntimes = 0").is_err());
    }
}
