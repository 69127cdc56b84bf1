//! The URLs of webhooks, and the grants for them.

use std::net::Ipv6Addr;

use percent_encoding::{AsciiSet, CONTROLS};
use serde::Deserialize as _;
use serde::de::Error as _;
use url::Url;

use crate::networks::GrantedNetworks;
use crate::secrecy;

/// The default name of the host in a webhook handshake.
pub const DEFAULT_ORIGIN: &str = "sandbus";

/// The host and the port of a URL, such as `hooks.example.com:443`.
///
/// # Errors
/// If it is not an absolute `http` or `https` URL, or contains a user name.
pub fn host_and_port(address: &str) -> Result<String, String> {
    let url = Url::parse(address).map_err(|error| format!("{} is not a URL: {error}", secrecy::address(address)))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{} is not an http or https URL", secrecy::address(address)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("the URL of host `{}` contains a user name", url.host_str().unwrap_or_default()));
    }
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
        _ => Err(format!("{} names no host", secrecy::address(address))),
    }
}

/// Converts a URL to the form in a request: characters that a request line may not have are percent-encoded, and the
/// fragment is removed. Everything else stays as given.
#[must_use]
pub fn sendable(address: &str) -> String {
    let address = address.trim();
    let address = address.split_once('#').map_or(address, |(address, _)| address);
    percent_encoding::utf8_percent_encode(address, UNSENDABLE).to_string()
}

/// Characters that a request line may not have (RFC 9112, section 3), or that are not allowed in a URI.
const UNSENDABLE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// The hosts that a plugin may address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostGrants {
    /// The hosts, as `host`, `host:port` or `*.domain`.
    pub hosts: Vec<String>,
    /// The private networks to which their names may resolve.
    pub networks: GrantedNetworks,
}

impl HostGrants {
    /// Grants for hosts without private networks.
    #[must_use]
    pub fn to(hosts: impl Into<Vec<String>>) -> Self {
        Self { hosts: hosts.into(), networks: GrantedNetworks::default() }
    }

    /// Whether a host, with its port, is granted.
    #[must_use]
    pub fn include(&self, host_and_port: &str) -> bool {
        is_granted(host_and_port, &self.hosts)
    }
}

/// Whether one of the grants matches a host. A trailing dot of the host is ignored.
fn is_granted(host_and_port: &str, grants: &[String]) -> bool {
    let (host, port) = split(host_and_port);
    let host = host.strip_suffix('.').unwrap_or(host);
    grants.iter().any(|grant| {
        let (name, granted_port) = split(grant);
        granted_port.is_none_or(|granted| port == Some(granted)) && is_named(host, name)
    })
}

/// Whether the name in a grant matches a host: the same name, or `*.` and a suffix of its labels.
fn is_named(host: &str, name: &str) -> bool {
    let Some(suffix) = name.strip_prefix('*') else { return host.eq_ignore_ascii_case(name) };
    // A wildcard does not match an IP address.
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    let (host, suffix) = (host.to_ascii_lowercase(), suffix.to_ascii_lowercase());
    !is_address && host.strip_suffix(&*suffix).is_some_and(|labels| !labels.is_empty())
}

/// Splits a host from an optional port. An IPv6 address is in brackets.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// A regular expression that all grants match, for JSON Schemas.
pub(crate) const GRANT_PATTERN: &str = r"^(?:\*\.)?[^\s/?#\\@,*]+$";

/// Deserializes a list of grants, in the form in which they are compared.
///
/// # Errors
/// The fault of a grant, and what to write instead.
pub fn deserialize_grants<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| parse_grant(text).map_err(D::Error::custom)).collect()
}

/// Parses a grant: `host`, `host:port` or `*.domain`, where `host` is a name or an IP address.
fn parse_grant(text: &str) -> Result<String, String> {
    let refused = |what: &str| {
        Err(format!(
            "`{}` {what}; write a host with an optional port, such as \"api.example.com\", \"api.example.com:8443\", \"*.example.com\", \"192.0.2.1\" or \"[2001:db8::1]:443\"",
            text.escape_debug()
        ))
    };
    match text {
        "" => return refused("is empty"),
        "*" => return refused("would grant every host; name each host"),
        _ if text.contains("://") => return refused("has a scheme, but a grant applies to http and https alike"),
        _ if text.contains(['/', '?', '#', '\\']) => return refused("has a path, but a grant applies to a whole host"),
        _ if text.contains('@') => return refused("has a user name"),
        _ if text
            .contains(|character: char| character.is_whitespace() || character.is_control() || character == ',') =>
        {
            return refused("has white space, commas or control characters");
        }
        _ => {}
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    let (host, port) = split(text);
    let port = match port.map(|port| (port.bytes().all(|byte| byte.is_ascii_digit()), port.parse::<u16>())) {
        None => String::new(),
        Some((true, Ok(port))) if port > 0 => format!(":{port}"),
        Some(_) => return refused("has a port that is not from 1 to 65535"),
    };
    let (wildcard, name) = host.strip_prefix("*.").map_or(("", host), |name| ("*.", name));
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.contains('*') {
        return refused("has a `*` that does not stand for its first labels");
    }
    // Parsed like the URL of a request, so that both are compared in the same form.
    let url = Url::parse(&format!("http://{name}/"));
    let Some(parsed) = url.as_ref().ok().and_then(Url::host_str) else { return refused("does not name a host") };
    let is_address = parsed.starts_with('[') || parsed.parse::<std::net::Ipv4Addr>().is_ok();
    if name.is_empty() || parsed.split('.').any(str::is_empty) || !wildcard.is_empty() && is_address {
        return refused("does not name a host");
    }
    Ok(format!("{wildcard}{parsed}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_granted_by_name_and_port() {
        let host = host_and_port("https://Hooks.example.com/a?b").unwrap();
        assert_eq!(host, "hooks.example.com:443");
        assert!(is_granted(&host, &["hooks.example.com".to_owned()]));
        assert!(is_granted(&host, &["hooks.example.com:443".to_owned()]));
        assert!(!is_granted(&host, &["hooks.example.com:80".to_owned()]));
        assert!(!is_granted(&host, &["example.com".to_owned()]));
        assert!(!is_granted(&host, &[]));
    }

    #[test]
    fn grants_are_normalised_like_hosts() {
        for (text, grant) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com.", "api.example.com"),
            ("api.example.com:8443", "api.example.com:8443"),
            ("localhost", "localhost"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("*.example.com", "*.example.com"),
            ("*.example.com:80", "*.example.com:80"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("[0:0::1]:80", "[::1]:80"),
            ("2001:DB8::1", "[2001:db8::1]"),
        ] {
            assert_eq!(parse_grant(text).as_deref(), Ok(grant), "{text}");
        }
        for text in [
            "",
            "*",
            " ",
            "a b",
            "http://a",
            "https://a:1",
            "a/",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:http",
            ":80",
            "[::1",
            "::1]",
            "[x]",
            "*.",
            "*a",
            "a.*",
            "*.*.a",
            "*.127.0.0.1",
            "*.[::1]",
            ".a",
            "a..b",
            "**",
            "fe80::1%eth0",
            "a,b",
            "\u{1b}[31m",
        ] {
            let refused = parse_grant(text);
            assert!(refused.as_ref().is_err_and(|reason| reason.contains("api.example.com")), "{text:?}: {refused:?}");
        }
    }

    #[test]
    fn grants_match_hosts() {
        let granted =
            |address: &str, grant: &str| is_granted(&host_and_port(address).unwrap(), &[parse_grant(grant).unwrap()]);
        for (address, grant) in [
            ("http://a.example.com/", "*.example.com"),
            ("http://a.b.example.com:81/", "*.Example.com"),
            ("https://a.example.com/", "*.example.com:443"),
            ("http://example.com./", "example.com"),
            ("http://[::1]:8000/", "::1"),
            ("http://[0:0:0:0:0:0:0:1]:8000/", "[::1]:8000"),
            ("http://b\u{fc}cher.example/", "xn--bcher-kva.example"),
            ("http://2130706433/", "127.0.0.1"),
        ] {
            assert!(granted(address, grant), "{address} {grant}");
        }
        for (address, grant) in [
            ("http://example.com/", "*.example.com"),
            ("http://notexample.com/", "*.example.com"),
            ("http://a.example.com.evil/", "*.example.com"),
            ("http://a.example.com/", "*.example.com:443"),
            ("http://[::1]:8000/", "[::1]:80"),
            ("http://[::2]/", "::1"),
        ] {
            assert!(!granted(address, grant), "{address} {grant}");
        }
    }

    #[test]
    fn a_url_stays_as_given() {
        for (address, sent) in [
            ("http://a/b//c/../%2e%2e/%41?q=it's&a=/../", "http://a/b//c/../%2e%2e/%41?q=it's&a=/../"),
            ("http://a/b c?\u{e9}#f", "http://a/b%20c?%C3%A9"),
            ("http://a/{x}\n", "http://a/%7Bx%7D"),
        ] {
            assert_eq!(sendable(address), sent);
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for address in [
            "ftp://example.com/?s3cret",
            "/hook?s3cret",
            "s3cret",
            "http://s3cret@example.com",
            "http://example.com:s3cret/",
            "http://",
        ] {
            let refused = host_and_port(address);
            assert!(refused.as_ref().is_err_and(|reason| !reason.contains("s3cret")), "{address}: {refused:?}");
        }
    }
}
