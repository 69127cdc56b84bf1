//! Deliveries to webhooks: CloudEvents over HTTP (HTTP binding 1.0.2), in binary mode, or signed in structured
//! mode; to hosts that the operator granted and to nobody else, wherever a name may lead.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::signature;
use crate::clock::Clock;
use crate::endpoint;
use crate::event::Event;
use crate::outbound::{self, Client};
use crate::outcome::{Cause, Failure, Outcome};
use crate::subscription::Webhook;

/// What attribute values are encoded by (HTTP binding 1.0.2, section 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
/// The name that the host gives of itself in a handshake, unless it is told another.
pub const DEFAULT_ORIGIN: &str = "sandbus";

/// The client for all webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    client: Client,
    clock: Clock,
    /// Who asks, in a handshake.
    origin: HeaderValue,
    /// The endpoints that have agreed since the host was started.
    agreed: Arc<Mutex<HashSet<String>>>,
}

impl Webhooks {
    /// Webhooks that a client delivers, in the name of an origin.
    #[must_use]
    pub fn new(client: Client, origin: HeaderValue, clock: Clock) -> Self {
        Self { client, clock, origin, agreed: Arc::default() }
    }

    /// Delivers an event. Without grants the operator has named the endpoint.
    pub(super) async fn deliver(
        &self,
        webhook: &Webhook,
        grants: Option<&[String]>,
        event: &Event,
        timeout: Duration,
    ) -> Outcome {
        match (endpoint::host_and_port(&webhook.url), grants) {
            (Ok(_), None) => {}
            (Ok(host), Some(grants)) if endpoint::is_granted(&host, grants) => {}
            (Ok(host), Some(_)) => return failed(format!("the operator does not grant webhooks to {host}"), None),
            (Err(reason), _) => return failed(reason, None),
        }
        if let Err(outcome) = self.handshake(webhook, timeout).await {
            return outcome;
        }
        let (headers, body) = match self.message(webhook, event) {
            Ok(message) => message,
            Err(reason) => return failed(reason, None),
        };
        let client = match self.client_for(webhook) {
            Ok(client) => client,
            Err(outcome) => return outcome,
        };
        match client.post(&webhook.url).timeout(timeout).headers(headers).body(body).send().await {
            // The body of the answer is not read: it says nothing that the status doesn't.
            Ok(response) => judge(response.status(), response.headers()),
            Err(error) => failed(describe(&error), None),
        }
    }

    /// The way to an endpoint, which is never the host itself.
    fn client_for(&self, webhook: &Webhook) -> Result<&reqwest::Client, Outcome> {
        let host = endpoint::host_and_port(&webhook.url);
        host.and_then(|host| self.client.to(&host)).map_err(|reason| failed(reason, None))
    }

    /// Binary mode, or structured mode where the request is signed: the signature covers the body alone.
    fn message(&self, webhook: &Webhook, event: &Event) -> Result<(HeaderMap, Vec<u8>), String> {
        let Some(secret) = &webhook.secret else {
            return Ok((headers(event), event.data.as_deref().unwrap_or_default().to_vec()));
        };
        let body = event.to_json().into_bytes();
        let unusable = || "the webhook's secret cannot be used".to_owned();
        let signed = signature::sign(secret, &message_id(event), self.clock.now(), &body).ok_or_else(unusable)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json; charset=utf-8"));
        for (name, value) in [
            ("webhook-id", signed.id),
            ("webhook-timestamp", signed.timestamp),
            ("webhook-signature", signed.signature),
        ] {
            headers.insert(name, HeaderValue::from_str(&value).map_err(|_| unusable())?);
        }
        Ok((headers, body))
    }

    /// Asks an endpoint once whether it agrees, where that is demanded (`CloudEvents` `WebHook` specification
    /// 1.0, section 4.1).
    async fn handshake(&self, webhook: &Webhook, timeout: Duration) -> Result<(), Outcome> {
        let agreed = || self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        if !webhook.handshake || agreed().contains(&webhook.url) {
            return Ok(());
        }
        let request = self.client_for(webhook)?.request(Method::OPTIONS, &webhook.url).timeout(timeout);
        let answer = request.header("webhook-request-origin", &self.origin).send().await;
        let answer = answer.map_err(|error| failed(describe(&error), None))?;
        let allowed = answer.headers().get("webhook-allowed-origin");
        let agrees = answer.status().is_success() && allowed.is_some_and(|it| it == "*" || *it == self.origin);
        if !agrees {
            let reason = format!(
                "the webhook does not agree to deliveries: it answered the handshake with {} and no fitting WebHook-Allowed-Origin",
                answer.status()
            );
            return Err(failed(reason, None));
        }
        agreed().insert(webhook.url.clone());
        Ok(())
    }
}

/// What names the message to its receiver, at each attempt. An event's own id is unique within its source alone, and
/// may have dots, which the signature uses between its parts.
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

/// What an answer means: what may pass by itself is tried again, and the rest is not (as Knative Eventing's
/// delivery has it). One that says when to come back is taken at its word.
fn judge(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if status.is_success() {
        return Outcome::Ack;
    }
    let reason = match status.is_redirection() {
        true => format!("the webhook answered {status}, and redirects are not followed"),
        false => format!("the webhook answered {status}"),
    };
    if !(matches!(status.as_u16(), 404 | 408 | 409 | 425 | 429) || status.is_server_error()) {
        return Outcome::Reject(Failure { cause: Cause::Webhook, reason });
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    failed(reason, seconds.map(|seconds: u64| Duration::from_secs(seconds.min(3_600))))
}

fn failed(reason: String, after: Option<Duration>) -> Outcome {
    Outcome::Retry { after, failure: Failure { cause: Cause::Webhook, reason } }
}

/// What went wrong, without the address, which may hold a secret.
fn describe(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() { "the webhook did not answer in time" } else { "the webhook cannot be reached" };
    format!("{what}{}", outbound::causes(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::Data;
    use crate::subscription::Secret;

    #[test]
    fn statuses_decide_the_outcome() {
        let outcome = |status: u16| judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        assert_eq!(outcome(204), Outcome::Ack);
        assert!(matches!(outcome(302), Outcome::Reject(_)));
        assert!(matches!(outcome(400), Outcome::Reject(_)));
        assert!(matches!(outcome(404), Outcome::Retry { .. }));
        assert!(matches!(outcome(410), Outcome::Reject(_)));
        assert!(matches!(outcome(500), Outcome::Retry { after: None, .. }));
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let busy = judge(StatusCode::TOO_MANY_REQUESTS, &headers);
        assert!(matches!(busy, Outcome::Retry { after: Some(after), .. } if after == Duration::from_secs(7)));
    }

    #[test]
    fn a_signed_message_has_an_id_of_its_own_and_the_data_as_they_are() {
        let (client, origin) = (Client::new(outbound::Listeners::default()).unwrap(), HeaderValue::from_static("test"));
        let webhooks = Webhooks::new(client, origin, Clock::manual(Timestamp(5_000)));
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let webhook = Webhook { url: "http://example.com/".to_owned(), secret: Some(secret.clone()), handshake: false };
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
        let expected = signature::sign(&secret, sent, Timestamp(5_000), &body).unwrap();
        assert_eq!(headers["webhook-signature"], expected.signature);
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains(r#""data":{"wei": 1000000000000000000000,"a":0.1000,"a":1}"#), "{text}");
        let again = |source| webhooks.message(&webhook, &event(source)).unwrap().0["webhook-id"].clone();
        assert_eq!(again("/a"), sent, "at each attempt");
        assert_ne!(again("/b"), sent, "another source's event is another one");
    }

    #[test]
    fn attributes_become_headers() {
        let event = Event { id: "1".into(), source: "/a b".into(), event_type: "t".into(), ..Event::default() };
        let headers = headers(&event);
        assert_eq!(headers["ce-source"], "/a%20b");
        assert_eq!(headers["ce-specversion"], "1.0");
    }
}
