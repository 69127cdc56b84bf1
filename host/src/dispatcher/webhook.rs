//! Deliveries to webhooks: CloudEvents over HTTP in binary mode (HTTP binding 1.0.2, section 3.1), to
//! hosts that the operator granted and to nobody else, wherever a name may lead.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode};

use crate::endpoint;
use crate::event::Event;
use crate::outcome::{Cause, Failure, Outcome};

/// What attribute values are encoded by (HTTP binding 1.0.2, section 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The client for all webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    client: Client,
}

impl Webhooks {
    /// Makes the client. Redirects are not followed: they would lead past the grant.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        // A second call finds the provider in place, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(PublicAddresses))
            .no_proxy()
            .user_agent(concat!("sandbus/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client })
    }

    /// Delivers an event.
    pub(super) async fn deliver(&self, url: &str, grants: &[String], event: &Event, timeout: Duration) -> Outcome {
        match endpoint::host_and_port(url) {
            Ok(host) if endpoint::is_granted(&host, grants) => {}
            Ok(host) => return failed(format!("the operator does not grant webhooks to {host}"), None),
            Err(reason) => return failed(reason, None),
        }
        let request = self.client.post(url).timeout(timeout).headers(headers(event));
        match request.body(event.data.clone().unwrap_or_default()).send().await {
            // The body of the answer is not read: it says nothing that the status doesn't.
            Ok(response) => judge(response.status(), response.headers()),
            Err(error) => failed(describe(&error), None),
        }
    }
}

fn headers(event: &Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str| {
        let value = utf8_percent_encode(value, ENCODED).to_string();
        let name = HeaderName::try_from(format!("ce-{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    };
    put("specversion", "1.0");
    put("id", &event.id);
    put("source", &event.source);
    put("type", &event.event_type);
    for (name, value) in [("subject", &event.subject), ("time", &event.time), ("dataschema", &event.dataschema)] {
        if let Some(value) = value {
            put(name, value);
        }
    }
    for (name, value) in &event.extensions {
        put(name, value);
    }
    if let Some(media_type) = event.datacontenttype.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(CONTENT_TYPE, media_type);
    }
    headers
}

/// What an answer means. A receiver that is gone for good (410) is not asked again; one that says when to
/// come back is taken at its word.
fn judge(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if status.is_success() {
        return Outcome::Ack;
    }
    let reason = format!("the webhook answered {status}");
    if status == StatusCode::GONE {
        return Outcome::Reject(Failure { cause: Cause::Webhook, reason });
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    failed(reason, seconds.map(|seconds: u64| Duration::from_secs(seconds.min(3_600))))
}

fn failed(reason: String, after: Option<Duration>) -> Outcome {
    Outcome::Retry { after, failure: Failure { cause: Cause::Webhook, reason } }
}

/// The error with what caused it, without the address, which may hold a secret.
fn describe(error: &reqwest::Error) -> String {
    let mut text =
        if error.is_timeout() { "the webhook did not answer in time" } else { "the webhook cannot be reached" }
            .to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Resolves names to public addresses alone. An operator who means a private one grants the address
/// itself, or `localhost`.
#[derive(Debug)]
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let local = host.eq_ignore_ascii_case("localhost");
            let allowed: Vec<_> = found.into_iter().filter(|address| local || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err(format!("`{host}` leads to no public address").into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public internet (RFC 6890's registries, the ranges in use).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || shared
                || benchmark
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            // Addresses that embed an IPv4 address would lead to it past the check above.
            let translated = v6.segments()[0] == 0x64 && v6.segments()[1] == 0xff9b || v6.segments()[0] == 0x2002;
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || translated)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_apart() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn statuses_decide_the_outcome() {
        let outcome = |status: u16| judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        assert_eq!(outcome(204), Outcome::Ack);
        assert!(matches!(outcome(302), Outcome::Retry { .. }));
        assert!(matches!(outcome(410), Outcome::Reject(_)));
        assert!(matches!(outcome(500), Outcome::Retry { after: None, .. }));
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let busy = judge(StatusCode::TOO_MANY_REQUESTS, &headers);
        assert!(matches!(busy, Outcome::Retry { after: Some(after), .. } if after == Duration::from_secs(7)));
    }

    #[test]
    fn attributes_become_headers() {
        let event = Event { id: "1".into(), source: "/a b".into(), event_type: "t".into(), ..Event::default() };
        let headers = headers(&event);
        assert_eq!(headers["ce-source"], "/a%20b");
        assert_eq!(headers["ce-specversion"], "1.0");
    }
}
