//! Compares the outcomes and effects of two handlers.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::outcome::{Effects, Outcome, Publish, SubscriptionChange, Write};
use crate::plugin::{Digest, EventResult};
use crate::secrecy;
use crate::subscription::{Definition, Target};

/// A difference between two results.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The path of the difference, such as `published[0].data.message`.
    pub path: String,
    /// The value of the running generation, if there is one.
    pub running: Option<Value>,
    /// The value of the new build, if there is one.
    pub new: Option<Value>,
}

/// The differences between the results of two handlers.
pub(super) fn differences(running: &EventResult, new: &EventResult) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(&to_comparable(running)), Some(&to_comparable(new)), &mut found);
    found
}

/// An outcome with its visible effects. Ids and times are omitted, since they do not depend on the code.
fn to_comparable(handled: &EventResult) -> Value {
    let EventResult { outcome, effects, usage: _ } = handled;
    let mut comparable = match outcome {
        Outcome::Ack => json!({ "outcome": "ack" }),
        Outcome::Retry { after, failure } => {
            let mut retry = json!({ "outcome": "retry", "cause": failure.cause.as_str(), "reason": failure.reason });
            // A member that is null would differ from one that is missing.
            if let Some(after) = after {
                retry["after_ms"] = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into();
            }
            retry
        }
        Outcome::Reject(failure) => json!({
            "outcome": "reject", "cause": failure.cause.as_str(), "reason": failure.reason,
        }),
    };
    let Effects { publishes, cancels, writes, subscriptions, reads: _ } = effects;
    let mut list = |name: &str, items: Vec<Value>| {
        if !items.is_empty() {
            comparable[name] = items.into();
        }
    };
    list("published", publishes.iter().map(comparable_event).collect());
    list("cancelled", cancels.iter().map(|id| id.as_str().into()).collect());
    list("subscriptions", subscriptions.iter().map(comparable_change).collect());
    let writes: Map<_, _> = writes.iter().map(|(key, write)| (key.clone(), comparable_write(write))).collect();
    if !writes.is_empty() {
        comparable["state"] = writes.into();
    }
    comparable
}

fn comparable_event(publish: &Publish) -> Value {
    let mut event = publish.event.to_exact_value();
    if let Some(object) = event.as_object_mut() {
        for host_given in [
            "specversion",
            "id",
            "source",
            "time",
            "causationid",
            "causationsource",
            "correlationid",
            "correlationsource",
            "hops",
        ] {
            object.remove(host_given);
        }
    }
    if let Some(due) = publish.due {
        event["due"] = due.to_string().into();
    }
    event
}

/// A change of a key, named by its kind, since a value may look like another kind.
fn comparable_write(write: &Write) -> Value {
    match write {
        Write::Set(bytes) => match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => json!({ "set": value }),
            // Lossy text could be the same for different values.
            Err(_) => json!({ "set_base64": BASE64_STANDARD.encode(bytes) }),
        },
        Write::Delete => json!({ "deleted": true }),
        Write::Add(delta) => json!({ "added": delta }),
    }
}

fn comparable_change(change: &SubscriptionChange) -> Value {
    match change {
        SubscriptionChange::Subscribe { name, definition, .. } => {
            json!({ "subscribe": name, "rules": comparable_rules(definition) })
        }
        SubscriptionChange::Unsubscribe { name } => json!({ "unsubscribe": name }),
    }
}

/// The rules of a subscription. The secret and URL of a webhook are replaced with a digest.
fn comparable_rules(definition: &Definition) -> Value {
    let mut rules = serde_json::to_value(definition).unwrap_or_default();
    if let Target::Webhook(webhook) = &definition.target {
        let whole = rules["target"].to_string();
        rules["target"] =
            json!({ "webhook": secrecy::address(&webhook.url), "digest": Digest::of(whole.as_bytes()).short() });
    }
    rules
}

/// The largest number of differences of a delivery.
const MAX_DIFFERENCES: usize = 32;
/// The largest number of characters of a value's JSON.
const MAX_VALUE_CHARACTERS: usize = 1_000;

fn compare(path: &str, running: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    if found.len() >= MAX_DIFFERENCES {
        return;
    }
    match (running, new) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&path, one.get(name), other.get(name), found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                compare(&format!("{path}[{index}]"), one.get(index), other.get(index), found);
            }
        }
        _ if running == new => {}
        _ => found.push(Difference {
            path: path.to_owned(),
            running: running.map(truncate_value),
            new: new.map(truncate_value),
        }),
    }
}

/// The value, or the beginning of its JSON if it is long.
fn truncate_value(value: &Value) -> Value {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Data, Event};
    use crate::outcome::{Cause, Failure};
    use crate::usage::Usage;

    fn handled(message: &str, total: i64) -> EventResult {
        let event = Event {
            id: message.to_owned(),
            event_type: "greeted".to_owned(),
            data: Some(Data::json(json!({ "message": message }).to_string())),
            ..Event::default()
        };
        let effects = Effects {
            publishes: vec![Publish { event, due: None }],
            writes: [("total".to_owned(), Write::Add(total))].into(),
            ..Effects::default()
        };
        EventResult { outcome: Outcome::Ack, effects, usage: Usage::default() }
    }

    #[test]
    fn differences_are_told_with_their_places() {
        assert!(differences(&handled("a", 1), &handled("a", 1)).is_empty());
        let found = differences(&handled("a", 1), &handled("b", 2));
        let places: Vec<_> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(places, ["published[0].data.message", "state.total.added"]);
        assert_eq!((&found[0].running, &found[0].new), (&Some(json!("a")), &Some(json!("b"))));
    }

    #[test]
    fn a_flood_of_differences_is_cut() {
        let one = json!((0..1_000).collect::<Vec<_>>());
        let other = json!((1_000..2_000).collect::<Vec<_>>());
        let mut found = Vec::new();
        compare("", Some(&one), Some(&other), &mut found);
        assert_eq!(found.len(), MAX_DIFFERENCES);
        let mut found = Vec::new();
        compare("", Some(&one), None, &mut found);
        let shown = found[0].running.as_ref().unwrap().as_str().unwrap();
        assert!(shown.starts_with("[0,1,2") && shown.ends_with('…') && shown.len() < 1_100, "{shown}");
    }

    #[test]
    fn changes_of_the_state_differ_if_their_kinds_or_bytes_do() {
        let set = |bytes: &[u8]| Write::Set(bytes.to_vec());
        assert_eq!(
            comparable_write(&set(b"{\"a\": 1}")),
            comparable_write(&set(b"{\"a\":1}")),
            "white space is no difference"
        );
        for (one, other) in [
            (set(b"{\"deleted\":true}"), Write::Delete),
            (set(b"{\"added\":5}"), Write::Add(5)),
            (set(&[0xff]), set(&[0xfe])),
            (set(&[0xff]), set(b"\"/w==\"")),
        ] {
            assert_ne!(comparable_write(&one), comparable_write(&other));
        }
        assert_eq!(comparable_write(&set(&[0xff])), json!({ "set_base64": "/w==" }));
    }

    #[test]
    fn a_failure_differs_from_an_ack_in_all_that_it_lacks() {
        let failure = Failure { cause: Cause::Trap, reason: "unreachable".to_owned() };
        let failed = EventResult::without_effects(Outcome::Retry { after: None, failure });
        let found = differences(&handled("a", 1), &failed);
        let places: Vec<_> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(places, ["cause", "outcome", "published", "reason", "state"]);
        assert_eq!(found[2].new, None);
        let failure = Failure { cause: Cause::Trap, reason: "unreachable".to_owned() };
        let delayed = EventResult::without_effects(Outcome::Retry { after: Some(Duration::from_millis(7)), failure });
        let [delay] = &differences(&failed, &delayed)[..] else { panic!("only the delay differs") };
        assert_eq!((delay.path.as_str(), &delay.running, &delay.new), ("after_ms", &None, &Some(json!(7))));
    }
}
