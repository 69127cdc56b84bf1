//! The proxies of outgoing requests.

use std::fmt;
use std::sync::Arc;

use hyper::header::HeaderValue;
use hyper::http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::fault::Unresolved;
use crate::secrecy;

/// Where the proxies come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxySetting {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case.
    #[default]
    Environment,
    /// There is no proxy.
    Off,
    /// One proxy for all requests.
    Url(ProxyUrl),
}

/// The URL of a proxy. It may contain a password, so it is shown without its user.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let refuse = |what: &str| {
            let shown = secrecy::address(text);
            format!(
                "{shown} {what}; write \"environment\", \"off\", or a URL such as \"http://proxy.example.com:3128\""
            )
        };
        let url = Url::parse(text).map_err(|_| refuse("is not a URL"))?;
        if url.scheme() != "http" {
            return Err(refuse("is not an http URL, and no other kind of proxy is supported"));
        }
        if url.host_str().is_none() || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(refuse("is not the URL of a proxy"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&secrecy::address(&self.0))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for ProxySetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Environment => serializer.serialize_str("environment"),
            Self::Off => serializer.serialize_str("off"),
            Self::Url(url) => serializer.collect_str(url),
        }
    }
}

impl<'de> Deserialize<'de> for ProxySetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "environment" => Ok(Self::Environment),
            "off" => Ok(Self::Off),
            url => ProxyUrl::parse(url).map(Self::Url).map_err(D::Error::custom),
        }
    }
}

/// The proxies, by the URL of a request.
#[derive(Clone, Debug)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    /// The proxies of a setting, except for the hosts in a list in the form of `NO_PROXY`.
    pub(super) fn new(setting: &ProxySetting, exceptions: &[String]) -> Self {
        let matcher = match setting {
            ProxySetting::Environment => Matcher::from_env(),
            ProxySetting::Off => Matcher::builder().build(),
            ProxySetting::Url(url) => Matcher::builder().all(url.0.as_str()).no(exceptions.join(",")).build(),
        };
        Self(Arc::new(matcher))
    }

    /// No proxies.
    pub(super) fn none() -> Self {
        Self::new(&ProxySetting::Off, &[])
    }

    /// The proxy for a request.
    pub(super) fn of(&self, request: &Uri) -> Result<Option<Proxy>, Unresolved> {
        let Some(proxy) = self.0.intercept(request) else { return Ok(None) };
        if proxy.uri().scheme_str() != Some("http") {
            let shown = secrecy::address(&proxy.uri().to_string());
            return Err(Unresolved(format!(
                "the proxy {shown} of the environment is not an http URL; set another in [outbound] proxy, or \"off\""
            )));
        }
        Ok(Some(Proxy(proxy)))
    }
}

/// A proxy for a request.
#[derive(Debug)]
pub(super) struct Proxy(Intercept);

impl Proxy {
    pub(super) fn uri(&self) -> &Uri {
        self.0.uri()
    }

    /// The value of `proxy-authorization`, if the proxy's URL has a user.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        self.0.basic_auth().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> Result<ProxySetting, String> {
        serde_json::from_value(serde_json::json!(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_proxy_is_a_url_or_comes_from_the_environment() {
        assert_eq!(setting("environment"), Ok(ProxySetting::Environment));
        assert_eq!(setting("off"), Ok(ProxySetting::Off));
        let url = setting("http://ada:s3cret@proxy.example.com:3128").unwrap();
        let shown = format!("{url:?} {}", serde_json::to_string(&url).unwrap());
        assert!(shown.contains("proxy.example.com:3128") && !shown.contains("s3cret"), "{shown}");
        for text in ["", "proxy:3128", "socks5://proxy:1080", "https://proxy", "http://proxy/path", "s3cret"] {
            let refused = setting(text);
            let explains = |reason: &String| reason.contains("http://proxy.example.com") && !reason.contains("s3cret");
            assert!(refused.as_ref().is_err_and(explains), "{text}: {refused:?}");
        }
    }

    #[test]
    fn exceptions_are_not_proxied() {
        let url = setting("http://ada:s3cret@proxy:3128").unwrap();
        let proxies = Proxies::new(&url, &["internal.example".to_owned(), "10.0.0.0/8".to_owned()]);
        let proxy = |uri: &'static str| proxies.of(&Uri::from_static(uri)).unwrap();
        let used = proxy("https://api.example.com/").unwrap();
        assert_eq!(used.uri().host(), Some("proxy"));
        assert!(used.authorization().is_some());
        assert!(proxy("http://api.example.com/").is_some());
        for uri in ["http://internal.example/", "https://a.internal.example/", "http://10.1.2.3/"] {
            assert!(proxy(uri).is_none(), "{uri}");
        }
        assert!(Proxies::none().of(&Uri::from_static("http://a/")).unwrap().is_none());
    }
}
