//! Webhook deliveries: CloudEvents over HTTP (HTTP binding 1.0.2), in binary mode, or signed in structured mode.
//! Webhooks of plugins go only to hosts that the operator granted. A grant is for a name, and not for the addresses
//! that it resolves to. The webhooks of an operator need no grant: they may go to any public address, and to the
//! private networks that the configuration names.

use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::endpoint::{Endpoints, RequestPermit};
use super::signature;
use super::webhook_result::{WebhookResult, status_text};
use crate::clock::Clock;
use crate::endpoint::{self, HostGrants};
use crate::event::Event;
use crate::networks::GrantedNetworks;
use crate::otlp::ClientTrace;
use crate::outbound::{self, Body, Client, SendError};
use crate::subscription::Webhook;

/// The characters of attribute values that are percent-encoded (HTTP binding 1.0.2, section 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The client for all webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    client: Client,
    clock: Clock,
    /// The sender's name (Web Hooks 1.0.2, section 4.1.2).
    origin: HeaderValue,
    endpoints: Endpoints,
}

/// A delivery to an endpoint.
#[derive(Clone, Copy)]
pub(super) struct WebhookRequest<'a> {
    pub(super) webhook: &'a Webhook,
    pub(super) event: &'a Event,
    pub(super) timeout: Duration,
    /// Traces the request.
    pub(super) client: &'a ClientTrace,
}

/// The limits of a delivery's requests: the networks that they may reach, and their time.
struct RequestPolicy {
    /// The private networks to which the name of the endpoint may resolve.
    networks: GrantedNetworks,
    /// The time for each request.
    timeout: Duration,
}

/// Names the sender of a request by a DNS name (Web Hooks 1.0.2, section 4.1.2).
const ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");

impl Webhooks {
    /// Creates the sender of webhooks. `origin` is the host's name in requests to endpoints.
    #[must_use]
    pub fn new(client: Client, origin: HeaderValue, clock: Clock) -> Self {
        Self { client, clock, origin, endpoints: Endpoints::default() }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The admission of requests.
    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Delivers an event under a permit. An endpoint that the operator chose needs no grants.
    pub(super) async fn deliver(
        &self,
        request: &WebhookRequest<'_>,
        grants: Option<&HostGrants>,
        permit: &mut RequestPermit,
    ) -> WebhookResult {
        let WebhookRequest { webhook, timeout, .. } = *request;
        match (endpoint::host_and_port(&webhook.url), grants) {
            (Ok(_), None) => {}
            (Ok(host), Some(grants)) if grants.include(&host) => {}
            (Ok(host), Some(_)) => {
                return WebhookResult::Failed(format!("the plugin has no grant for webhooks to {host}"));
            }
            (Err(reason), _) => return WebhookResult::Failed(reason),
        }
        let networks = grants.map_or(GrantedNetworks::AllNamed, |grants| grants.networks.clone());
        let policy = RequestPolicy { networks, timeout };
        let result = match self.handshake(webhook, &policy).await {
            Ok(()) => self.send(request, &policy).await,
            Err(result) => result,
        };
        if let WebhookResult::Overloaded(..) = result {
            permit.overload();
        }
        result
    }

    async fn send(&self, request: &WebhookRequest<'_>, policy: &RequestPolicy) -> WebhookResult {
        let WebhookRequest { webhook, event, client, .. } = *request;
        let (headers, body) = match self.message(webhook, event) {
            Ok(message) => message,
            Err(reason) => return WebhookResult::Failed(reason),
        };
        let mut request = self.request(Method::POST, webhook);
        let url = request.uri_ref().cloned().unwrap_or_default();
        let mut span = None;
        if let Some(request_headers) = request.headers_mut() {
            request_headers.extend(headers);
            span = client.begin(request_headers, &Method::POST, &url);
        }
        let answer = self.send_request(request, body, policy).await;
        if let Some(span) = span {
            span.end(match &answer {
                Ok(response) => Ok(response.status().as_u16()),
                Err(result) => Err(result.reason()),
            });
        }
        match answer {
            // The body of the response is not read. The status alone decides.
            Ok(response) => self.interpret(&response),
            Err(result) => result,
        }
    }

    /// A request to an endpoint, on behalf of the host.
    fn request(&self, method: Method, webhook: &Webhook) -> Builder {
        let request =
            Request::builder().method(method).uri(endpoint::sendable(&webhook.url)).header(ORIGIN, &self.origin);
        // A URL may contain a secret: an access token in its query (section 3.2).
        let is_secret = webhook.url.split_once('?').is_some_and(|(_, query)| has_access_token(query));
        if is_secret { request.header(CACHE_CONTROL, "no-store") } else { request }
    }

    /// Sends a request, and waits for the head of its response.
    async fn send_request(
        &self,
        request: Builder,
        body: Vec<u8>,
        policy: &RequestPolicy,
    ) -> Result<Response<Body>, WebhookResult> {
        // The error does not contain the URL, which may hold a secret.
        let request = request.body(outbound::body(body)).map_err(|error| WebhookResult::Failed(error.to_string()))?;
        let sent = tokio::time::timeout(policy.timeout, self.client.send(request, &policy.networks, None)).await;
        let late = |_| WebhookResult::Failed("the webhook did not answer in time".to_owned());
        sent.map_err(late)?.map_err(|error| WebhookResult::Failed(describe(&error)))
    }

    fn interpret(&self, response: &Response<Body>) -> WebhookResult {
        WebhookResult::of(response.status(), response.headers(), self.clock.now())
    }

    /// The headers and the body. Binary mode is the default. Structured mode is used for a signed request, because
    /// the signature covers only the body, and for an event without data, because a request must have a body (Web
    /// Hooks 1.0.2, section 2.1).
    fn message(&self, webhook: &Webhook, event: &Event) -> Result<(HeaderMap, Vec<u8>), String> {
        let structured = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
        match (&webhook.secret, &event.data) {
            (None, Some(data)) => return Ok((headers(event), data.to_vec())),
            (None, None) => {
                return Ok((HeaderMap::from_iter([(CONTENT_TYPE, structured)]), event.to_json().into_bytes()));
            }
            (Some(_), _) => {}
        }
        let body = event.to_json().into_bytes();
        let unusable = || "the webhook's secret is unusable".to_owned();
        let now = self.clock.now();
        let signed = signature::sign(webhook.keys(now), &message_id(event), now, &body).ok_or_else(unusable)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, structured);
        for (name, value) in [
            ("webhook-id", signed.id),
            ("webhook-timestamp", signed.timestamp),
            ("webhook-signature", signed.signature),
        ] {
            headers.insert(name, HeaderValue::from_str(&value).map_err(|_| unusable())?);
        }
        Ok((headers, body))
    }

    /// Asks an endpoint once for its agreement, if the subscription requires it, and for its rate limit (Web Hooks
    /// 1.0.2, section 4).
    async fn handshake(&self, webhook: &Webhook, policy: &RequestPolicy) -> Result<(), WebhookResult> {
        if !webhook.handshake || self.endpoints.has_agreed(&webhook.url) {
            return Ok(());
        }
        let response = self.send_request(self.request(Method::OPTIONS, webhook), Vec::new(), policy).await?;
        let allowed = response.headers().get("webhook-allowed-origin");
        // The status is irrelevant (section 4.2), unless the endpoint refuses requests altogether.
        let result = self.interpret(&response);
        if matches!(result, WebhookResult::Overloaded(..) | WebhookResult::Gone(_)) {
            return Err(result);
        }
        if !allowed.is_some_and(|allowed| self.is_allowed_by(allowed)) {
            let status = status_text(response.status());
            return Err(WebhookResult::Failed(format!(
                "the webhook did not agree to deliveries: it answered the handshake with {status} and without a matching WebHook-Allowed-Origin header"
            )));
        }
        self.endpoints.agree(&webhook.url, allowed_rate(response.headers()));
        Ok(())
    }

    /// Whether an allowed origin includes this host. DNS names are case-insensitive.
    fn is_allowed_by(&self, allowed: &HeaderValue) -> bool {
        allowed == "*" || allowed.as_bytes().eq_ignore_ascii_case(self.origin.as_bytes())
    }
}

/// The rate that an endpoint allows, in requests per minute. None if it sets no limit (section 4.2.2).
fn allowed_rate(headers: &HeaderMap) -> Option<NonZeroU32> {
    let text = headers.get("webhook-allowed-rate")?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that overflows means no limit.
    if is_number { text.parse().ok() } else { None }
}

/// Whether a query contains an access token (section 3.2).
fn has_access_token(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("access_token"))
}

/// The id of the message, which is the same for each attempt. The event's own id is unique only within its source, and
/// may contain dots, which the signature uses as separators.
fn message_id(event: &Event) -> String {
    let mut hash = Sha256::new();
    hash.update((event.source.len() as u64).to_le_bytes());
    hash.update(event.source.as_bytes());
    hash.update(event.id.as_bytes());
    format!("evt_{}", BASE64_URL_SAFE_NO_PAD.encode(hash.finalize()))
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
    if let Some(media_type) = event.media_type().and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
        headers.insert(CONTENT_TYPE, media_type);
    }
    headers
}

/// Describes an error without the URL, which may contain a secret.
fn describe(error: &SendError) -> String {
    match error {
        SendError::Unreachable(_, causes) | SendError::Broken(_, causes) => {
            format!("the webhook cannot be reached{causes}")
        }
        SendError::Denied(_) | SendError::Own(_) | SendError::Malformed(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::Data;
    use crate::subscription::Secret;

    fn webhooks() -> Webhooks {
        let client = Client::new(outbound::Listeners::default(), &outbound::OutboundConfig::default()).unwrap();
        let origin = HeaderValue::from_static("bus.example.com");
        Webhooks::new(client, origin, Clock::manual(Timestamp(5_000)))
    }

    /// Web Hooks 1.0.2, sections 3.2 and 4.1.2.
    #[test]
    fn each_request_says_who_sends_it() {
        let webhooks = webhooks();
        for (url, secret) in [
            ("http://a/", false),
            ("http://a/?access_tokens=1&token=2", false),
            ("http://a/?access_token=1", true),
            ("http://a/?b=c&access_token=1", true),
        ] {
            for method in [Method::POST, Method::OPTIONS] {
                let request = webhooks.request(method, &Webhook::new(url)).body(()).unwrap();
                assert_eq!(request.headers()["webhook-request-origin"], "bus.example.com");
                let kept = request.headers().get(CACHE_CONTROL).is_some_and(|value| value == "no-store");
                assert_eq!(kept, secret, "{url}");
            }
        }
    }

    /// Web Hooks 1.0.2, sections 4.2.1 and 4.2.2.
    #[test]
    fn an_endpoints_allowed_rate_is_parsed() {
        let webhooks = webhooks();
        for (allowed, expected) in
            [("*", true), ("bus.example.com", true), ("BUS.example.com", true), ("example.com", false), ("", false)]
        {
            assert_eq!(webhooks.is_allowed_by(&HeaderValue::from_static(allowed)), expected, "{allowed}");
        }
        for (rate, expected) in
            [("120", 120), ("1", 1), ("*", 0), ("0", 0), ("-1", 0), ("+1", 0), ("1.5", 0), ("", 0), ("99999999999", 0)]
        {
            let headers = [(HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static(rate))];
            let allowed = allowed_rate(&HeaderMap::from_iter(headers));
            assert_eq!(allowed, NonZeroU32::new(expected), "{rate}");
        }
        assert_eq!(allowed_rate(&HeaderMap::new()), None);
    }

    #[test]
    fn a_signed_message_has_an_id_of_its_own_and_the_data_as_they_are() {
        let webhooks = webhooks();
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let webhook = Webhook { secret: Some(secret.clone()), ..Webhook::new("http://example.com/") };
        let event = |source: &str| Event {
            id: "1.5".into(),
            source: source.into(),
            event_type: "t".into(),
            data: Some(Data::json(*br#"{"wei": 1000000000000000000000,"a":0.1000,"a":1}"#)),
            ..Event::default()
        };
        let (headers, body) = webhooks.message(&webhook, &event("/a")).unwrap();
        let sent = headers["webhook-id"].to_str().unwrap();
        assert!(sent.starts_with("evt_") && !sent.contains('.'), "{sent}");
        let expected = signature::sign(secret.keys(), sent, Timestamp(5_000), &body).unwrap();
        assert_eq!(headers["webhook-signature"], expected.signature);
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains(r#""data":{"wei": 1000000000000000000000,"a":0.1000,"a":1}"#), "{text}");
        let again = |source| webhooks.message(&webhook, &event(source)).unwrap().0["webhook-id"].clone();
        assert_eq!(again("/a"), sent, "the id is the same for each attempt");
        assert_ne!(again("/b"), sent, "events of different sources have different ids");
    }

    #[test]
    fn attributes_become_headers() {
        let event = Event { id: "1".into(), source: "/a b".into(), event_type: "t".into(), ..Event::default() };
        let headers = headers(&event);
        assert_eq!(headers["ce-source"], "/a%20b");
        assert_eq!(headers["ce-specversion"], "1.0");
    }
}
