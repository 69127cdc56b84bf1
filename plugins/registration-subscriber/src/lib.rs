//! Lets others subscribe to registrations at run time: `POST /subscribe_user_registration` names a webhook
//! or a plugin, and from then on it receives every `user.registered` event. A webhook may come with a secret
//! that events are signed with, and ask for a handshake before the first.

use sandbus_sdk::BusError;
use sandbus_sdk::prelude::*;
use sandbus_sdk::subscriptions::{Subscription, Target, Webhook};

const PATTERN: &str = "user.registered";

/// How many bytes a secret has, as the Standard Webhooks specification says.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A webhook or a plugin, and what is agreed with a webhook.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewSubscriber {
    webhook: Option<String>,
    plugin: Option<String>,
    /// `whsec_` and base64.
    secret: Option<String>,
    handshake: bool,
}

#[derive(Debug, PartialEq, Serialize)]
struct Subscribed {
    message: &'static str,
    subscription: String,
}

#[route(POST, "/subscribe_user_registration")]
fn subscribe_user_registration(Json(subscriber): Json<NewSubscriber>) -> Result<(u16, Json<Subscribed>), Problem> {
    let target = subscriber.checked()?;
    let (kind, address) = match &target {
        Target::Webhook(webhook) => ("webhook", webhook.url.clone()),
        Target::Plugin(name) => ("plugin", name.clone()),
    };
    // The name follows from the subscriber: subscribing twice makes one subscription.
    let subscription = format!("{kind}-{:016x}", fnv1a(&address));
    Subscription::new(&subscription, PATTERN).to(target).subscribe().map_err(refused)?;
    // Without the secret, which is nobody's business but the subscription's.
    state::set(&format!("subscriber/{subscription}"), &std::collections::BTreeMap::from([(kind, address)]))?;
    let message = "User registration event subscribed successfully";
    Ok((201, Json(Subscribed { message, subscription })))
}

impl NewSubscriber {
    fn checked(self) -> Result<Target, Problem> {
        match (self.webhook, self.plugin) {
            (Some(url), None) => {
                if !self.secret.as_deref().is_none_or(is_secret) {
                    let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
                    let detail = format!("a secret is `whsec_` and {least} to {most} bytes in base64");
                    return Err(Problem::invalid(detail).code("invalid-secret"));
                }
                let mut webhook = Webhook::new(url);
                webhook.secret = self.secret;
                webhook.handshake = self.handshake;
                Ok(Target::Webhook(webhook))
            }
            (None, Some(_)) if self.secret.is_some() || self.handshake => {
                Err(invalid("`secret` and `handshake` belong to a webhook"))
            }
            (None, Some(name)) => Ok(Target::Plugin(name)),
            _ => Err(invalid("a subscriber is either a `webhook` or a `plugin`")),
        }
    }
}

fn invalid(detail: impl std::fmt::Display) -> Problem {
    Problem::invalid(detail).code("invalid-subscriber")
}

/// Whether a text is a secret of the Standard Webhooks specification.
fn is_secret(text: &str) -> bool {
    let Some(encoded) = text.strip_prefix("whsec_") else { return false };
    let digits = encoded.trim_end_matches('=');
    let padding = encoded.len() - digits.len();
    encoded.len() % 4 == 0
        && padding <= 2
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
        && SECRET_BYTES.contains(&(digits.len() * 3 / 4))
}

fn refused(error: BusError) -> Problem {
    match error {
        BusError::Denied(reason) => Problem::new(403, reason).code("not-granted"),
        BusError::Invalid(reason) => invalid(reason),
        BusError::Limit(reason) => Problem::new(429, reason).code("too-many-subscriptions"),
    }
}

/// The FNV-1a hash: short, and the same in every version of this plugin.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

plugin! {
    routes: [subscribe_user_registration],
    subscribes: ["user.registered"],
}

#[cfg(test)]
mod tests {
    use sandbus_sdk::testing::FakeHost;
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn subscribe(host: &FakeHost, body: &Value) -> Result<(u16, Json<Subscribed>), Problem> {
        let request = Request { body: body.to_string().into_bytes(), ..Request::default() };
        host.run(|| subscribe_user_registration(Json(request.json()?)))
    }

    #[test]
    fn a_subscriber_gets_one_subscription() {
        let host = FakeHost::new();
        let webhook = json!({ "webhook": "https://example.com/hook" });
        let (status, Json(first)) = subscribe(&host, &webhook).unwrap();
        let (_, Json(second)) = subscribe(&host, &webhook).unwrap();
        assert_eq!((status, &first), (201, &second));
        let subscriptions = host.subscriptions();
        assert_eq!(subscriptions.len(), 1);
        assert_eq!(subscriptions[&first.subscription].pattern, PATTERN);
        assert_eq!(
            host.state(&format!("subscriber/{}", first.subscription)),
            Some(br#"{"webhook":"https://example.com/hook"}"#.to_vec())
        );
    }

    #[test]
    fn a_webhook_may_ask_for_signatures_and_a_handshake() {
        let host = FakeHost::new();
        let body = json!({ "webhook": "https://example.com/hook", "secret": SECRET, "handshake": true });
        let (_, Json(answer)) = subscribe(&host, &body).unwrap();
        let expected = Webhook::new("https://example.com/hook").secret(SECRET).handshake();
        assert_eq!(host.subscriptions()[&answer.subscription].target, Some(Target::Webhook(expected)));
        let kept = host.state(&format!("subscriber/{}", answer.subscription)).unwrap();
        assert!(!String::from_utf8(kept).unwrap().contains(SECRET));
    }

    #[test]
    fn a_plugin_is_subscribed() {
        let host = FakeHost::new();
        let (_, Json(answer)) = subscribe(&host, &json!({ "plugin": "echo" })).unwrap();
        assert_eq!(host.subscriptions()[&answer.subscription].target, Some(Target::Plugin("echo".into())));
    }

    #[test]
    fn an_invalid_subscriber_is_refused() {
        let url = "https://example.com/hook";
        for (body, code) in [
            (json!({}), "invalid-subscriber"),
            (json!({ "webhook": url, "plugin": "echo" }), "invalid-subscriber"),
            (json!({ "plugin": "echo", "secret": SECRET }), "invalid-subscriber"),
            (json!({ "plugin": "echo", "handshake": true }), "invalid-subscriber"),
            (json!({ "webhook": url, "secret": "hush" }), "invalid-secret"),
            (json!({ "webhook": url, "secret": "whsec_c2hvcnQ=" }), "invalid-secret"),
            (json!({ "webhook": url, "secret": SECRET.replace('r', "!") }), "invalid-secret"),
        ] {
            let host = FakeHost::new();
            let problem = subscribe(&host, &body).unwrap_err();
            assert_eq!((problem.status, problem.code.as_deref()), (422, Some(code)), "{body}");
            assert!(host.subscriptions().is_empty());
        }
        assert_eq!(subscribe(&FakeHost::new(), &json!({ "webhook": url, "secrets": SECRET })).unwrap_err().status, 422);
    }

    #[test]
    fn hashes_are_those_of_the_reference() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
