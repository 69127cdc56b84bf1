//! The records of the ledger.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::{AttemptRecord, FeedId, SettledStatus};
use crate::clock::Timestamp;
use crate::event::CauseTreeId;
use crate::outcome::{EffectNames, Failure};
use crate::usage::{OutboundCalls, RecordedLog, Usage};

/// A record of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An attempt at a delivery.
    Attempt(Box<AttemptEntry>),
    /// A request for a plugin's route.
    Request(Box<RequestEntry>),
}

impl Entry {
    /// Whether the attempt or the request failed. Room in the queue is reserved for failures.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Attempt(attempt) => attempt.verdict != AttemptVerdict::Handled,
            Self::Request(request) => request.status >= 500 || request.failure.is_some(),
        }
    }

    /// This record without what other services answered. None if it has no such answer.
    pub(super) fn without_recorded_responses(&self) -> Option<Self> {
        let calls = match self {
            Self::Attempt(attempt) => &attempt.usage.calls,
            Self::Request(request) => &request.usage.calls,
        };
        let has_some = calls.recorded.iter().any(|call| call.recorded_response.is_some());
        has_some.then(|| match self {
            Self::Attempt(attempt) => Self::Attempt(Box::new(AttemptEntry {
                usage: attempt.usage.without_recorded_responses(),
                ..(**attempt).clone()
            })),
            Self::Request(request) => Self::Request(Box::new(RequestEntry {
                usage: request.usage.without_recorded_responses(),
                ..(**request).clone()
            })),
        })
    }

    /// Its log lines.
    pub(super) fn log(&self) -> &RecordedLog {
        match self {
            Self::Attempt(attempt) => &attempt.usage.log,
            Self::Request(request) => &request.usage.log,
        }
    }

    /// Its log lines.
    pub(super) fn log_mut(&mut self) -> &mut RecordedLog {
        match self {
            Self::Attempt(attempt) => &mut attempt.usage.log,
            Self::Request(request) => &mut request.usage.log,
        }
    }

    /// When it ended.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Attempt(attempt) => attempt.at,
            Self::Request(request) => request.at,
        }
    }
}

/// An attempt that was committed.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptEntry {
    /// When it was committed.
    pub at: Timestamp,
    /// The event's position in the log.
    pub position: u64,
    /// The event's id.
    pub event_id: String,
    /// The event's source.
    pub event_source: String,
    /// The event's type.
    pub event_type: String,
    /// When the event entered the log.
    pub stored_at: Timestamp,
    /// The cause tree of the event.
    pub tree: CauseTreeId,
    /// The owner of the subscription.
    pub owner: String,
    /// The name of the subscription.
    pub subscription: String,
    /// The number of the replay that the delivery belonged to, if any.
    pub replay: Option<i64>,
    /// Whether the delivery belonged to a replay. A redriven dead letter of a replay has no `replay` number, because
    /// the replay may have ended.
    pub is_replay: bool,
    /// When an operator redrove the delivery from a dead letter, if it was one.
    pub redriven_at: Option<Timestamp>,
    /// Whether an operator had edited the data.
    pub edited: bool,
    /// The digest of the component that ran, if one did.
    pub digest: Option<String>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The run time of the handler.
    pub took: Duration,
    /// What the handler used.
    pub usage: Usage,
    /// What followed.
    pub verdict: AttemptVerdict,
    /// Why it failed, if it did.
    pub failure: Option<RecordedFailure>,
    /// The names in the effects that were committed.
    pub names: EffectNames,
}

/// What followed an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptVerdict {
    /// The event is handled.
    Handled,
    /// Another attempt is made at a time.
    Retry(Timestamp),
    /// The delivery became a dead letter.
    Dead,
}

/// The cause and the reason of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    /// The cause, as in dead letters, or the code of the problem with which the host responded to a request.
    pub cause: String,
    /// The reason, for people.
    pub reason: String,
}

impl From<&Failure> for RecordedFailure {
    fn from(failure: &Failure) -> Self {
        Self { cause: failure.cause.as_str().to_owned(), reason: failure.reason.clone() }
    }
}

impl AttemptEntry {
    /// The record of a committed attempt.
    #[must_use]
    pub fn new(record: &AttemptRecord, names: EffectNames, status: SettledStatus, at: Timestamp) -> Self {
        let delivery = &record.delivery;
        let event = delivery.event();
        let verdict = match status {
            SettledStatus::Handled => AttemptVerdict::Handled,
            SettledStatus::Waiting(due) => AttemptVerdict::Retry(due),
            SettledStatus::Dead => AttemptVerdict::Dead,
        };
        Self {
            at,
            position: delivery.logged.position.0,
            event_id: event.id.clone(),
            event_source: event.source.clone(),
            event_type: event.event_type.clone(),
            stored_at: delivery.logged.stored_at,
            tree: event.cause_tree(),
            owner: delivery.subscription.owner.clone(),
            subscription: delivery.subscription.name.clone(),
            replay: delivery.kind.replay().map(FeedId::number),
            is_replay: delivery.kind.is_replay(),
            redriven_at: delivery.redriven_at,
            edited: event.is_edited(),
            digest: record.digest.as_deref().map(str::to_owned),
            attempt: delivery.attempt,
            took: record.took,
            usage: record.usage.clone(),
            verdict,
            failure: record.verdict.failure().map(RecordedFailure::from),
            // Only an ack commits effects.
            names: if verdict == AttemptVerdict::Handled { names } else { EffectNames::default() },
        }
    }
}

/// A request for a plugin's route that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestEntry {
    /// When it ended.
    pub at: Timestamp,
    /// Its id, `x-request-id` in the response.
    pub id: String,
    /// The plugin.
    pub plugin: String,
    /// The digest of the component that ran.
    pub digest: String,
    /// The method.
    pub method: String,
    /// The route's pattern.
    pub route: String,
    /// The path, without the query, which may contain secrets.
    pub path: String,
    /// The status of the response.
    pub status: u16,
    /// The duration from the request to the end of the response.
    pub took: Duration,
    /// What the handler used.
    pub usage: Usage,
    /// Why the handler failed, if it did.
    pub failure: Option<RecordedFailure>,
    /// The names in the effects that were committed.
    pub names: EffectNames,
    /// The cause trees of the events that it published.
    pub trees: Vec<CauseTreeId>,
}

/// The parts of a record that are read together and never searched, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    pub(super) names: EffectNames,
    pub(super) calls: OutboundCalls,
    /// Records of earlier versions have none.
    #[serde(skip_serializing_if = "RecordedLog::is_empty")]
    pub(super) log: RecordedLog,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) trees: Vec<CauseTreeId>,
    /// Whether the delivery was a redriven dead letter of a replay.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) redriven_replay: bool,
    /// When an operator redrove this delivery from a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redriven_at: Option<Timestamp>,
    /// Whether an operator had edited the data.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) edited: bool,
}

impl Details {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::outcome::PublishedName;
    use crate::usage::{LogLevel, LogLine, OutboundCall};

    pub(in super::super) fn attempt(at: u64, verdict: AttemptVerdict) -> AttemptEntry {
        let failure = RecordedFailure { cause: "exception".to_owned(), reason: "no server".to_owned() };
        let call = OutboundCall {
            method: "GET".to_owned(),
            host: "example.com".to_owned(),
            result: Ok(204),
            took: Duration::from_micros(1_500),
            recorded_response: None,
        };
        let published = PublishedName { id: "e2".to_owned(), event_type: "b".to_owned(), due: Some(Timestamp(9)) };
        AttemptEntry {
            at: Timestamp(at),
            position: 7,
            event_id: "e1".to_owned(),
            event_source: "/shop".to_owned(),
            event_type: "a".to_owned(),
            stored_at: Timestamp(1),
            tree: CauseTreeId { id: "e0".to_owned(), source: Some("/shop".to_owned()) },
            owner: "mailer".to_owned(),
            subscription: "welcome".to_owned(),
            replay: None,
            is_replay: true,
            redriven_at: Some(Timestamp(3)),
            edited: true,
            digest: Some("ab12".to_owned()),
            attempt: 2,
            took: Duration::from_millis(3),
            usage: Usage {
                queued: Duration::from_micros(5),
                cpu_time: Duration::from_millis(2),
                memory_bytes: 65_536,
                calls: OutboundCalls { recorded: vec![call], omitted: 3 },
                log: RecordedLog {
                    lines: vec![LogLine { level: LogLevel::Warn, message: "slow".to_owned() }],
                    omitted: 2,
                },
            },
            verdict,
            failure: (verdict != AttemptVerdict::Handled).then_some(failure),
            names: EffectNames { published: vec![published], state_keys: vec!["k".to_owned()], omitted: 1 },
        }
    }

    pub(in super::super) fn handled(at: u64) -> Entry {
        Entry::Attempt(Box::new(attempt(at, AttemptVerdict::Handled)))
    }

    pub(in super::super) fn failed(at: u64) -> Entry {
        Entry::Attempt(Box::new(attempt(at, AttemptVerdict::Dead)))
    }

    pub(in super::super) fn request(at: u64) -> RequestEntry {
        let AttemptEntry { usage, names, tree, .. } = attempt(at, AttemptVerdict::Handled);
        RequestEntry {
            at: Timestamp(at),
            id: format!("r{at}"),
            plugin: "shop".to_owned(),
            digest: "cd34".to_owned(),
            method: "POST".to_owned(),
            route: "/orders/{id}".to_owned(),
            path: "/orders/7".to_owned(),
            status: 202,
            took: Duration::from_millis(4),
            usage,
            failure: None,
            names,
            trees: vec![tree],
        }
    }
}
