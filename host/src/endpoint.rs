//! Addresses that webhooks go to, and who may send to them.

use reqwest::Url;

use crate::secrecy;

/// The host and the port of an address: `hooks.example.com:443`.
///
/// # Errors
/// If it is not an absolute address with `http` or `https`, or carries a user's name.
pub fn host_and_port(address: &str) -> Result<String, String> {
    let url = Url::parse(address).map_err(|error| format!("`{}` is no address: {error}", secrecy::address(address)))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{}` is not an http or https address", secrecy::address(address)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("the address of host `{}` carries a user's name", url.host_str().unwrap_or_default()));
    }
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
        _ => Err(format!("`{}` names no host", secrecy::address(address))),
    }
}

/// Whether one of the grants, each `host` or `host:port`, names the host.
#[must_use]
pub fn is_granted(host_and_port: &str, grants: &[String]) -> bool {
    let host = host_and_port.rsplit_once(':').map_or(host_and_port, |(host, _)| host);
    grants.iter().any(|grant| grant.eq_ignore_ascii_case(host_and_port) || grant.eq_ignore_ascii_case(host))
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
    fn other_addresses_are_refused() {
        for address in ["ftp://example.com", "/hook", "http://user@example.com", "http://"] {
            assert!(host_and_port(address).is_err(), "{address}");
        }
    }
}
