//! Lets others subscribe to registrations at run time: `POST /subscribe_user_registration` names a webhook
//! or a plugin, and from then on it receives every `user.registered` event.

use sandbus_sdk::PublishError;
use sandbus_sdk::prelude::*;
use sandbus_sdk::subscriptions::{Target, subscribe};

const PATTERN: &str = "user.registered";

/// Exactly one of the two.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Subscriber {
    Webhook(String),
    Plugin(String),
}

#[derive(Debug, PartialEq, Serialize)]
struct Subscribed {
    message: &'static str,
    subscription: String,
}

#[route(POST, "/subscribe_user_registration")]
fn subscribe_user_registration(Json(subscriber): Json<Subscriber>) -> Result<(u16, Json<Subscribed>), Problem> {
    let (kind, address, target) = match &subscriber {
        Subscriber::Webhook(url) => ("webhook", url, Target::Webhook(url.clone())),
        Subscriber::Plugin(name) => ("plugin", name, Target::Plugin(name.clone())),
    };
    // The name follows from the subscriber: subscribing twice makes one subscription.
    let subscription = format!("{kind}-{:016x}", fnv1a(address));
    subscribe(&subscription, PATTERN, target).map_err(refused)?;
    state::set(&format!("subscriber/{subscription}"), &subscriber)?;
    let message = "User registration event subscribed successfully";
    Ok((201, Json(Subscribed { message, subscription })))
}

fn refused(error: PublishError) -> Problem {
    match error {
        PublishError::Denied(reason) => Problem::new(403, reason).code("not-granted"),
        PublishError::Invalid(reason) => Problem::invalid(reason).code("invalid-subscriber"),
        PublishError::Limit(reason) => Problem::new(429, reason).code("too-many-subscriptions"),
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

    use super::*;

    #[test]
    fn a_subscriber_gets_one_subscription() {
        let host = FakeHost::new();
        let webhook = || Json(Subscriber::Webhook("https://example.com/hook".into()));
        let (status, Json(first)) = host.run(|| subscribe_user_registration(webhook())).unwrap();
        let (_, Json(second)) = host.run(|| subscribe_user_registration(webhook())).unwrap();
        assert_eq!((status, &first), (201, &second));
        let subscriptions = host.subscriptions();
        assert_eq!(subscriptions.len(), 1);
        assert_eq!(subscriptions[&first.subscription].0, PATTERN);
    }

    #[test]
    fn hashes_are_those_of_the_reference() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
