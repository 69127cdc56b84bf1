//! Notifications of dead letters, which are events.

use serde::Serialize;

use super::{DeadLetterId, FailedAttempt};
use crate::clock::Timestamp;
use crate::event::{Data, Event, LoggedEvent};
use crate::subscription::SubscriptionId;

/// The type of the notifications of dead letters. Only the host publishes it.
pub const DEAD_LETTER_TYPE: &str = "sandbus.dead-letter";

/// The source of the notifications.
const SOURCE: &str = "/sandbus/dead-letters";

/// The data of a notification.
#[derive(Debug, Serialize)]
struct Notification<'a> {
    number: DeadLetterId,
    subscription: String,
    replay: bool,
    cause: &'a str,
    reason: &'a str,
    attempts: u32,
    event: FailedEvent<'a>,
}

/// The event that became a dead letter.
#[derive(Debug, Serialize)]
struct FailedEvent<'a> {
    position: u64,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
}

/// The notification of a dead letter. The event that became a dead letter is its cause.
pub(crate) fn dead_letter_event(
    id: String,
    number: DeadLetterId,
    subscription: &SubscriptionId,
    replay: bool,
    logged: &LoggedEvent,
    last: &FailedAttempt,
    now: Timestamp,
) -> Event {
    let event = &logged.event;
    let data = Notification {
        number,
        subscription: subscription.to_string(),
        replay,
        cause: last.cause.as_str(),
        reason: &last.reason,
        attempts: last.attempt,
        event: FailedEvent {
            position: logged.position.0,
            id: &event.id,
            source: &event.source,
            event_type: &event.event_type,
            subject: event.subject.as_deref(),
        },
    };
    let json = serde_json::to_vec(&data).expect("strings and numbers can be written as JSON");
    Event {
        id,
        source: SOURCE.to_owned(),
        event_type: DEAD_LETTER_TYPE.to_owned(),
        subject: Some(subscription.to_string()),
        time: Some(now.to_string()),
        datacontenttype: Some("application/json".to_owned()),
        extensions: event.inherited(),
        data: Some(Data::json(json)),
        ..Event::default()
    }
}
