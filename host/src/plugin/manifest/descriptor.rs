//! The descriptor of a plugin, validated.

mod check;
pub(crate) mod path;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::subscription_rules;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::schedule::Schedule;
use crate::subscription::{DeadLetterPolicy, OPERATOR, RetryPolicy, Start};

/// A validated descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// A description for people.
    pub description: Option<String>,
    /// The routes that the plugin handles.
    pub routes: Vec<Route>,
    /// The subscriptions that the plugin handles.
    pub subscriptions: Vec<Subscription>,
    /// The schedules, by name.
    pub schedules: Vec<(String, Schedule)>,
    /// The event types that it requests to publish.
    pub publishes: Vec<Pattern>,
    /// The event types that it requests to subscribe to at run time.
    pub subscribes: Vec<Pattern>,
    /// The configuration keys.
    pub config: Vec<ConfigKey>,
}

/// A route: a method and a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The method, in upper case.
    pub method: String,
    /// The path, with parameters in braces.
    pub path: String,
}

impl std::fmt::Display for Route {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// A declared subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// The event types that match.
    pub pattern: Pattern,
    /// Filters on the attributes of these events.
    pub filters: Filters,
    /// The start of the subscription when it is created.
    pub start: Start,
    /// How many deliveries may be in flight at the same time.
    pub concurrency: Option<NonZeroU32>,
    /// The ordering key.
    pub ordering_key: Option<OrderingKey>,
    /// The effect of a dead letter on later events with the same ordering key.
    pub dead_letter_policy: DeadLetterPolicy,
    /// How many deliveries may be waiting before publishers are refused.
    pub max_backlog: Option<u64>,
    /// The retry policy.
    pub retry: RetryPolicy,
    /// The timeout of one invocation.
    pub timeout: Option<Duration>,
}

/// A configuration key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigKey {
    /// Its name.
    pub name: String,
    /// The value if the operator sets none.
    pub default: Option<String>,
    /// A description for the operator.
    pub description: Option<String>,
}

/// Why a descriptor is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The plugin's name is invalid.
    #[error(
        "the name `{0}` is invalid; use 1 to 64 lower-case letters, digits and `-`, with a letter or digit at both ends, and not `{OPERATOR}`"
    )]
    Name(String),
    /// A text has a character that controls a terminal or misleads a reader.
    #[error("its {0} has the unprintable character U+{1:04X}; remove it")]
    Unprintable(&'static str, u32),
    /// A text is too long.
    #[error("its {0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// There are too many of something.
    #[error("it has {0} {1}; at most {2} are allowed")]
    TooMany(usize, &'static str, usize),
    /// A route's method is unknown.
    #[error("the method of route `{0}` is unknown")]
    Method(Route),
    /// A route's path is malformed.
    #[error("the path of route `{0}` is invalid: {1}")]
    Path(Route, String),
    /// Two routes match the same requests.
    #[error("its routes `{0}` and `{1}` match the same paths; change one of them")]
    Conflict(Route, Route),
    /// A route or a subscription is declared twice.
    #[error("it declares `{0}` twice")]
    Twice(String),
    /// The name of a subscription is invalid.
    #[error("the name `{0}` is invalid; use 1 to 128 letters, digits, `-` and `_`, not beginning with `-`")]
    SubscriptionName(String),
    /// A pattern is malformed.
    #[error("{0}")]
    Pattern(#[from] crate::pattern::ParseError),
    /// A rule of a subscription is invalid.
    #[error("subscription `{0}`: {1}")]
    Rule(String, subscription_rules::ValidationError),
    /// A schedule is invalid.
    #[error("schedule `{0}`: {1}")]
    Schedule(String, crate::schedule::ValidationError),
    /// A schedule publishes a type that is reserved for the host or for another plugin.
    #[error(
        "schedule `{0}`: the event type `{1}` is reserved; begin it with `schedule.NAME.`, where NAME is the plugin's, or with another word"
    )]
    ScheduleReserved(String, String),
    /// The event type of a schedule is a pattern.
    #[error("schedule `{0}`: `{1}` is not an event type")]
    ScheduleType(String, String),
}

/// The methods that a route may have.
pub(crate) const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
