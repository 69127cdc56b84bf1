//! The configuration, from the standard environment variables of OpenTelemetry.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::sampler::Sampler;
use super::signal::Signal;
use crate::secrecy;

/// The endpoint if an exporter is chosen and no endpoint is given.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";

/// A variable has a value that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {reason}")]
pub struct ConfigError {
    variable: String,
    reason: String,
}

/// What to export, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpConfig {
    pub(super) traces: Option<EndpointConfig>,
    pub(super) metrics: Option<EndpointConfig>,
    pub(super) logs: Option<EndpointConfig>,
    /// The attributes of the resource.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampler: Sampler,
    pub(super) span_batches: BatchConfig,
    pub(super) log_batches: BatchConfig,
    /// How often metrics are exported.
    pub(super) metric_interval: Duration,
}

/// Where a signal is exported to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EndpointConfig {
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    /// The time limit of one request.
    pub(super) timeout: Duration,
    /// A file with certificates of authorities in PEM.
    pub(super) certificate: Option<PathBuf>,
}

/// How spans or log records are batched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchConfig {
    /// How long a record waits for others.
    pub(super) delay: Duration,
    /// How many records may wait.
    pub(super) queue: usize,
    /// The maximum number of records in one request.
    pub(super) batch: usize,
    /// How long one batch is retried.
    pub(super) timeout: Duration,
}

/// Reads variables. An empty one counts as unset, as the specification demands.
#[derive(Clone, Copy)]
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl OtlpConfig {
    /// Reads the variables of the process. None if nothing is exported: no variable names an endpoint or chooses an
    /// exporter, or the variables switch it off.
    ///
    /// # Errors
    /// If a variable has a value that cannot be used.
    pub fn from_environment() -> Result<Option<Self>, ConfigError> {
        Self::read(&|name| std::env::var(name).ok())
    }

    /// Reads variables from a function.
    ///
    /// # Errors
    /// If a variable has a value that cannot be used.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, ConfigError> {
        let variables = Variables(lookup);
        if variables.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let [traces, metrics, logs] = Signal::ALL.map(|signal| variables.endpoint(signal));
        let (traces, metrics, logs) = (traces?, metrics?, logs?);
        if traces.is_none() && metrics.is_none() && logs.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            traces,
            metrics,
            logs,
            resource: variables.resource()?,
            sampler: variables.sampler()?,
            span_batches: variables.batches("OTEL_BSP", 5_000)?,
            log_batches: variables.batches("OTEL_BLRP", 1_000)?,
            metric_interval: variables.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 60_000)?,
        }))
    }
}

impl Variables<'_> {
    fn get(self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The first of two variables that is set, with its name.
    fn first(self, names: [String; 2]) -> Option<(String, String)> {
        names.into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    /// The variable of a signal, or else the one of all signals.
    fn of_signal(self, signal: Signal, suffix: &str) -> Option<(String, String)> {
        let prefix = "OTEL_EXPORTER_OTLP";
        self.first([format!("{prefix}_{}_{suffix}", signal.variable()), format!("{prefix}_{suffix}")])
    }

    /// Where a signal is exported to, if it is.
    fn endpoint(self, signal: Signal) -> Result<Option<EndpointConfig>, ConfigError> {
        let exporter = format!("OTEL_{}_EXPORTER", signal.variable());
        let chosen = self.get(&exporter);
        match chosen.as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            // `/metrics` is always there.
            Some("prometheus") if signal == Signal::Metrics => return Ok(None),
            Some(other) => return Err(unusable(&exporter, other, "the host has the exporters `otlp` and `none`")),
        }
        let given = self.of_signal(signal, "ENDPOINT");
        let (variable, url) = match (given, chosen) {
            (Some((variable, url)), _) => (variable, url),
            (None, Some(_)) => ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), DEFAULT_ENDPOINT.to_owned()),
            (None, None) => return Ok(None),
        };
        let is_base = variable == "OTEL_EXPORTER_OTLP_ENDPOINT";
        let url = if is_base { format!("{}/v1/{}", url.trim_end_matches('/'), signal.name()) } else { url };
        let malformed = || unusable(&variable, &url, "write a URL such as http://localhost:4318");
        let url: Uri = url.parse().map_err(|_| malformed())?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err(malformed());
        }
        self.check_protocol(signal)?;
        Ok(Some(EndpointConfig {
            url,
            headers: self.headers(signal)?,
            timeout: match self.of_signal(signal, "TIMEOUT") {
                Some((name, text)) => milliseconds(&name, &text)?,
                None => Duration::from_secs(10),
            },
            certificate: self.of_signal(signal, "CERTIFICATE").map(|(_, path)| path.into()),
        }))
    }

    fn check_protocol(self, signal: Signal) -> Result<(), ConfigError> {
        if let Some((variable, protocol)) = self.of_signal(signal, "PROTOCOL")
            && protocol != "http/protobuf"
        {
            let advice = "the host speaks `http/protobuf` only; unset the variable, and name the collector's HTTP port, usually 4318";
            return Err(unusable(&variable, &protocol, advice));
        }
        match self.of_signal(signal, "COMPRESSION") {
            Some((variable, coding)) if coding != "none" => {
                Err(unusable(&variable, &coding, "the host does not compress; unset the variable"))
            }
            _ => Ok(()),
        }
    }

    /// The headers of each request: `name=value,…`, with percent-encoded values. They may be secrets, so no error shows
    /// them.
    fn headers(self, signal: Signal) -> Result<HeaderMap, ConfigError> {
        let Some((variable, text)) = self.of_signal(signal, "HEADERS") else { return Ok(HeaderMap::new()) };
        let malformed = || {
            let reason = "is malformed; write name=value,name=value, with percent-encoded values".to_owned();
            ConfigError { variable: variable.clone(), reason }
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(&text).ok_or_else(malformed)? {
            let name: HeaderName = name.to_ascii_lowercase().parse().map_err(|_| malformed())?;
            if FRAMING.contains(&name.as_str()) {
                let reason = format!("sets the header `{name}`, which the host sets itself; remove it");
                return Err(ConfigError { variable: variable.clone(), reason });
            }
            let mut value = HeaderValue::try_from(value).map_err(|_| malformed())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn resource(self) -> Result<Vec<(String, String)>, ConfigError> {
        let variable = "OTEL_RESOURCE_ATTRIBUTES";
        let given = self.get(variable).unwrap_or_default();
        let malformed = || unusable(variable, &given, "write name=value,name=value, with percent-encoded values");
        let given = pairs(&given).ok_or_else(malformed)?;
        let mut attributes = vec![
            ("service.name".to_owned(), "sandbus".to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id".to_owned(), uuid::Uuid::new_v4().to_string()),
            ("telemetry.sdk.name".to_owned(), "sandbus".to_owned()),
            ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
            ("telemetry.sdk.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let service = self.get("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name));
        for (name, value) in given.into_iter().chain(service) {
            match attributes.iter_mut().find(|(key, _)| *key == name) {
                Some((_, present)) => *present = value,
                None => attributes.push((name, value)),
            }
        }
        Ok(attributes)
    }

    fn sampler(self) -> Result<Sampler, ConfigError> {
        let variable = "OTEL_TRACES_SAMPLER";
        let Some(name) = self.get(variable) else { return Ok(Sampler::default()) };
        let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name.as_str()),
        };
        let ratio = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.ratio()?,
            _ => {
                let advice = "choose always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio";
                return Err(unusable(variable, &name, advice));
            }
        };
        Ok(Sampler::new(is_parent_based, ratio))
    }

    fn ratio(self) -> Result<f64, ConfigError> {
        let variable = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.get(variable) else { return Ok(1.0) };
        let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.ok_or_else(|| unusable(variable, &text, "write a ratio from 0 to 1, such as 0.01"))
    }

    fn batches(self, prefix: &str, delay: u64) -> Result<BatchConfig, ConfigError> {
        let queue = self.count(&format!("{prefix}_MAX_QUEUE_SIZE"), 2_048)?;
        Ok(BatchConfig {
            delay: self.milliseconds(&format!("{prefix}_SCHEDULE_DELAY"), delay)?,
            queue,
            batch: self.count(&format!("{prefix}_MAX_EXPORT_BATCH_SIZE"), 512)?.min(queue),
            timeout: self.milliseconds(&format!("{prefix}_EXPORT_TIMEOUT"), 30_000)?,
        })
    }

    fn milliseconds(self, variable: &str, default: u64) -> Result<Duration, ConfigError> {
        match self.get(variable) {
            Some(text) => milliseconds(variable, &text),
            None => Ok(Duration::from_millis(default)),
        }
    }

    fn count(self, variable: &str, default: usize) -> Result<usize, ConfigError> {
        let Some(text) = self.get(variable) else { return Ok(default) };
        let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
        count.ok_or_else(|| unusable(variable, &text, "write a number from 1 to 1000000"))
    }
}

fn milliseconds(variable: &str, text: &str) -> Result<Duration, ConfigError> {
    let number = text.parse().ok().filter(|milliseconds| (1..=86_400_000).contains(milliseconds));
    let duration = number.map(Duration::from_millis);
    duration.ok_or_else(|| unusable(variable, text, "write a number of milliseconds, from 1 to 86400000"))
}

/// Parses `name=value,name=value` with percent-encoded values. None if it is malformed.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
        })
        .collect()
}

/// Headers that belong to the request itself.
const FRAMING: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

fn unusable(variable: &str, value: &str, advice: &str) -> ConfigError {
    // A URL may contain a password.
    let shown = if value.contains("://") { secrecy::address(value) } else { value.to_owned() };
    ConfigError { variable: variable.to_owned(), reason: format!("is `{shown}`: {advice}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<OtlpConfig>, ConfigError> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        OtlpConfig::read(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    fn is_exported(variables: &[(&str, &str)]) -> [Option<String>; 3] {
        let config = read(variables).unwrap();
        let url = |endpoint: &Option<EndpointConfig>| endpoint.as_ref().map(|endpoint| endpoint.url.to_string());
        config.map_or([None, None, None], |config| [url(&config.traces), url(&config.metrics), url(&config.logs)])
    }

    #[test]
    fn nothing_is_exported_without_a_variable() {
        const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1/base/");
        let all = ["traces", "metrics", "logs"].map(|signal| Some(format!("http://a:1/base/v1/{signal}")));
        let none: [Option<String>; 3] = [None, None, None];
        let [traces, _, logs] = all.clone();
        for (variables, expected) in [
            (&[][..], none.clone()),
            (&[("OTEL_SERVICE_NAME", "a"), ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], none.clone()),
            (&[BASE], all),
            (&[BASE, ("OTEL_SDK_DISABLED", "True")], none),
            (&[BASE, ("OTEL_METRICS_EXPORTER", "none")], [traces.clone(), None, logs.clone()]),
            (&[BASE, ("OTEL_METRICS_EXPORTER", "prometheus")], [traces, None, logs]),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], [Some("http://localhost:4318/v1/traces".to_owned()), None, None]),
            (
                &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://b/as-it-is")],
                [None, None, Some("https://b/as-it-is".to_owned())],
            ),
        ] {
            assert_eq!(is_exported(variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named_with_its_variable() {
        const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1");
        for (variable, value, expected) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "does not compress"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318", "write a URL"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://a/", "write a URL"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "`otlp` and `none`"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_traceidratio"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "from 1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "name=value"),
        ] {
            let error = read(&[BASE, (variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && error.contains(value) && error.contains(expected), "{error}");
        }
        let ratio = [BASE, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")];
        assert!(read(&ratio).unwrap_err().to_string().contains("from 0 to 1"));
        let secret = read(&[BASE, ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")]).unwrap_err().to_string();
        assert!(secret.contains("OTEL_EXPORTER_OTLP_HEADERS") && !secret.contains("s3cret"), "{secret}");
    }

    #[test]
    fn the_variable_of_a_signal_wins() {
        let config = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x, a = b"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "c=d"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "700"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs,host.name=h%2C1"),
            ("OTEL_SERVICE_NAME", "mine"),
        ])
        .unwrap()
        .unwrap();
        let (traces, logs) = (config.traces.unwrap(), config.logs.unwrap());
        assert_eq!(
            (&traces.headers["authorization"], &traces.headers["a"]),
            (&"Bearer x".parse().unwrap(), &"b".parse().unwrap())
        );
        assert_eq!((logs.headers.len(), &logs.headers["c"]), (1, &"d".parse().unwrap()));
        assert_eq!([traces.timeout, logs.timeout], [500, 700].map(Duration::from_millis));
        let attribute =
            |name: &str| config.resource.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!((attribute("service.name"), attribute("host.name")), (Some("mine"), Some("h,1")));
        assert!(attribute("service.instance.id").is_some());
    }
}
