//! What a plugin says about itself, checked: everything in it follows the rules.

mod check;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::subscription_rules;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::schedule::Schedule;
use crate::subscription::{DeadLetterPolicy, OPERATOR, RetryPolicy, Start};

/// A plugin's checked descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does.
    pub description: Option<String>,
    /// The routes that it answers.
    pub routes: Vec<Route>,
    /// The subscriptions that it serves.
    pub subscriptions: Vec<Subscription>,
    /// The events that are published for it at certain times, by their names.
    pub schedules: Vec<(String, Schedule)>,
    /// The event types that it asks to publish.
    pub publishes: Vec<Pattern>,
    /// The event types that it asks to make subscriptions for.
    pub subscribes: Vec<Pattern>,
    /// The keys of its configuration.
    pub config: Vec<ConfigKey>,
}

/// A method and a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The method in upper case.
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
    /// Which event types it takes.
    pub pattern: Pattern,
    /// Which of these events it takes.
    pub filters: Filters,
    /// Where it begins when it is made.
    pub start: Start,
    /// How many deliveries may be in flight.
    pub concurrency: Option<NonZeroU32>,
    /// What keeps events in order.
    pub ordering_key: Option<OrderingKey>,
    /// What a dead letter means for those that share its ordering key.
    pub dead_letter_policy: DeadLetterPolicy,
    /// How many deliveries may wait.
    pub max_backlog: Option<u64>,
    /// When a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// How long one invocation may run.
    pub timeout: Option<Duration>,
}

/// A key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigKey {
    /// Its name.
    pub name: String,
    /// Its value while the operator sets none.
    pub default: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// Why a descriptor is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The name breaks the rules.
    #[error(
        "the name `{0}` is not of 1 to 64 lower-case letters, digits and `-`, with a letter or digit at both ends, or is `{OPERATOR}`"
    )]
    Name(String),
    /// A text has a character that steers a terminal or misleads a reader.
    #[error("its {0} has the character U+{1:04X}, which is not printed; take it out")]
    Unprintable(&'static str, u32),
    /// A text is too long.
    #[error("its {0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// There are too many of something.
    #[error("it has {0} {1}; {2} are allowed")]
    TooMany(usize, &'static str, usize),
    /// A route's method is unknown.
    #[error("the method of route `{0}` is unknown")]
    Method(Route),
    /// A route's path cannot be routed.
    #[error("the path of route `{0}` is malformed: {1}")]
    Path(Route, String),
    /// A route belongs to the host.
    #[error("the route `{0}` belongs to the host; choose another path")]
    Reserved(Route),
    /// A route or a subscription is declared twice.
    #[error("it declares `{0}` twice")]
    Twice(String),
    /// A subscription's name breaks the rules.
    #[error("the subscription name `{0}` is not of 1 to 128 letters, digits, `-` and `_`, or begins with `-`")]
    SubscriptionName(String),
    /// A pattern is none.
    #[error("{0}")]
    Pattern(#[from] crate::pattern::ParseError),
    /// A rule of a subscription is malformed.
    #[error("subscription `{0}`: {1}")]
    Rule(String, subscription_rules::ValidationError),
    /// A schedule is malformed.
    #[error("schedule `{0}`: {1}")]
    Schedule(String, crate::schedule::ValidationError),
    /// A schedule publishes what only the host or another plugin's schedule publishes.
    #[error(
        "schedule `{0}`: the type `{1}` is reserved; a schedule's types begin with `schedule.NAME.`, or with another word"
    )]
    ScheduleReserved(String, String),
    /// A schedule publishes what is no event type.
    #[error("schedule `{0}`: `{1}` is no event type")]
    ScheduleType(String, String),
}

/// Paths of the host's own on the ingress.
pub(crate) const RESERVED: [&str; 1] = ["/events"];
/// The methods that a route may have.
pub(crate) const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
