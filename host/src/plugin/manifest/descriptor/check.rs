//! Validates descriptors.

use std::time::Duration;

use super::{ConfigKey, Descriptor, METHODS, Route, Subscription, ValidationError, path};
use crate::clock::Timestamp;
use crate::event::reserved::{ReservedType, is_schedule_of};
use crate::pattern::Pattern;
use crate::plugin::bindings::exports::sandbus::plugin::descriptor as wire;
use crate::plugin::manifest::subscription_rules;
use crate::printable;
use crate::schedule::{MissedPolicy, Schedule};
use crate::subscription::{self, OPERATOR};

/// How many routes, subscriptions and so on a plugin may declare.
const COUNT_LIMIT: usize = 256;
const TEXT_LIMIT: usize = 1_024;

impl Descriptor {
    /// Validates a descriptor.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn check(raw: wire::Descriptor, now: Timestamp) -> Result<Self, ValidationError> {
        if !is_name(&raw.name) {
            return Err(ValidationError::Name(raw.name.chars().take(64).collect()));
        }
        check_line("version", &raw.version)?;
        check_text("description", raw.description.as_deref().unwrap_or_default())?;
        check_count("routes", raw.routes.len())?;
        check_count("subscriptions", raw.subscriptions.len())?;
        check_count("schedules", raw.schedules.len())?;
        check_count("configuration keys", raw.config.len())?;
        check_count("patterns to publish", raw.publishes.len())?;
        check_count("patterns to subscribe to", raw.subscribes.len())?;
        for key in &raw.config {
            check_line("configuration", &key.name)?;
            check_text("configuration", key.default.as_deref().unwrap_or_default())?;
            check_text("configuration", key.description.as_deref().unwrap_or_default())?;
        }

        let descriptor = Self {
            version: raw.version,
            description: raw.description,
            routes: raw.routes.into_iter().map(route).collect::<Result<_, _>>()?,
            subscriptions: raw.subscriptions.into_iter().map(subscription).collect::<Result<_, _>>()?,
            schedules: schedules(raw.schedules, &raw.name, now)?,
            publishes: patterns(&raw.publishes)?,
            subscribes: patterns(&raw.subscribes)?,
            config: raw
                .config
                .into_iter()
                .map(|key| ConfigKey { name: key.name, default: key.default, description: key.description })
                .collect(),
            name: raw.name,
        };
        check_unique(descriptor.routes.iter().map(ToString::to_string))?;
        check_distinct_paths(&descriptor.routes)?;
        check_unique(descriptor.subscriptions.iter().map(|subscription| subscription.name.clone()))?;
        check_unique(descriptor.schedules.iter().map(|(name, _)| name.clone()))?;
        Ok(descriptor)
    }
}

/// Whether a text may name a plugin. Names appear on command lines, where a leading `-` would make an option.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_plain = name.bytes().all(|byte| plain(byte) || byte == b'-');
    let ends = [name.bytes().next(), name.bytes().next_back()];
    is_plain && name.len() <= 64 && ends.into_iter().all(|end| end.is_some_and(plain)) && name != OPERATOR
}

/// Checks a single-line text.
fn check_line(what: &'static str, text: &str) -> Result<(), ValidationError> {
    if text.len() > TEXT_LIMIT {
        return Err(ValidationError::TooLong(what, TEXT_LIMIT));
    }
    check_printable(what, text)
}

fn check_printable(what: &'static str, text: &str) -> Result<(), ValidationError> {
    match text.chars().find(|character| printable::is_unprintable(*character)) {
        Some(character) => Err(ValidationError::Unprintable(what, character.into())),
        None => Ok(()),
    }
}

/// Checks a text that may have several lines.
fn check_text(what: &'static str, text: &str) -> Result<(), ValidationError> {
    if text.len() > TEXT_LIMIT {
        return Err(ValidationError::TooLong(what, TEXT_LIMIT));
    }
    text.split(['\n', '\t']).try_for_each(|part| check_printable(what, part.trim_end_matches('\r')))
}

fn check_count(what: &'static str, count: usize) -> Result<(), ValidationError> {
    if count <= COUNT_LIMIT { Ok(()) } else { Err(ValidationError::TooMany(count, what, COUNT_LIMIT)) }
}

fn check_unique(names: impl Iterator<Item = String>) -> Result<(), ValidationError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(ValidationError::Twice(name));
        }
    }
    Ok(())
}

/// Checks that the router can hold all routes. It refuses two routes that match the same paths.
fn check_distinct_paths(routes: &[Route]) -> Result<(), ValidationError> {
    let conflict = |one: &Route, other: &Route| {
        let mut router = matchit::Router::new();
        router.insert(one.path.as_str(), ()).is_ok() && router.insert(other.path.as_str(), ()).is_err()
    };
    for (index, route) in routes.iter().enumerate() {
        let earlier = routes[..index].iter().filter(|other| other.method == route.method);
        if let Some(other) = earlier.into_iter().find(|other| conflict(other, route)) {
            return Err(ValidationError::Conflict(other.clone(), route.clone()));
        }
    }
    Ok(())
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, ValidationError> {
    let pattern = |text: &String| {
        check_printable("list of patterns", text)?;
        Ok(Pattern::parse(text)?)
    };
    texts.iter().map(pattern).collect()
}

fn route(raw: wire::Route) -> Result<Route, ValidationError> {
    check_line("route", &raw.method)?;
    check_line("route", &raw.path)?;
    let route = Route { method: raw.method, path: raw.path };
    if !METHODS.contains(&route.method.as_str()) {
        return Err(ValidationError::Method(route));
    }
    match path::check(&route.path) {
        Ok(()) => Ok(route),
        Err(reason) => Err(ValidationError::Path(route, reason)),
    }
}

fn subscription(raw: wire::Subscription) -> Result<Subscription, ValidationError> {
    if !subscription::is_valid_name(&raw.name) {
        return Err(ValidationError::SubscriptionName(raw.name.chars().take(128).collect()));
    }
    check_printable("subscription's pattern", &raw.pattern)?;
    check_printable("subscription's filters", raw.filters.as_deref().unwrap_or_default())?;
    check_printable("subscription's ordering key", raw.ordering_key.as_deref().unwrap_or_default())?;
    let name = raw.name.clone();
    rules_of(raw).map_err(|invalid| ValidationError::Rule(name, invalid))
}

fn rules_of(raw: wire::Subscription) -> Result<Subscription, subscription_rules::ValidationError> {
    if raw.timeout_ms == Some(0) {
        return Err(subscription_rules::ValidationError::Timeout);
    }
    if raw.max_backlog == Some(0) {
        return Err(subscription_rules::ValidationError::MaxBacklog);
    }
    Ok(Subscription {
        pattern: Pattern::parse(&raw.pattern)?,
        filters: subscription_rules::filters(raw.filters.as_deref())?,
        start: subscription_rules::start(raw.start)?,
        concurrency: subscription_rules::concurrency(raw.concurrency)?,
        ordering_key: subscription_rules::ordering_key(raw.ordering_key.as_deref())?,
        dead_letter_policy: subscription_rules::dead_letter_policy(raw.dead_letter_policy),
        retry: subscription_rules::retry(raw.retry)?,
        max_backlog: raw.max_backlog,
        timeout: raw.timeout_ms.map(Duration::from_millis),
        name: raw.name,
    })
}

fn schedules(
    raw: Vec<wire::Schedule>,
    plugin: &str,
    now: Timestamp,
) -> Result<Vec<(String, Schedule)>, ValidationError> {
    let own = |raw: wire::Schedule| {
        if ReservedType::of(&raw.type_).is_some() && !is_schedule_of(plugin, &raw.type_) {
            return Err(ValidationError::ScheduleReserved(raw.name, raw.type_));
        }
        schedule(raw, now)
    };
    raw.into_iter().map(own).collect()
}

fn schedule(raw: wire::Schedule, now: Timestamp) -> Result<(String, Schedule), ValidationError> {
    /// The largest data of a schedule, in bytes.
    const DATA_LIMIT: usize = 64 << 10;
    if !subscription::is_valid_name(&raw.name) {
        return Err(ValidationError::SubscriptionName(raw.name.chars().take(128).collect()));
    }
    check_line("cron expression", &raw.cron)?;
    check_line("schedule's type", &raw.type_)?;
    check_line("time zone", raw.timezone.as_deref().unwrap_or_default())?;
    check_line("media type", raw.datacontenttype.as_deref().unwrap_or_default())?;
    if raw.data.as_ref().is_some_and(|data| data.len() > DATA_LIMIT) {
        return Err(ValidationError::TooLong("schedule's data", DATA_LIMIT));
    }
    if Pattern::parse(&raw.type_)?.exact().is_none() {
        return Err(ValidationError::ScheduleType(raw.name, raw.type_));
    }
    let schedule = Schedule {
        cron: raw.cron,
        timezone: raw.timezone,
        missed: match raw.missed {
            None | Some(wire::Missed::RunOnce) => MissedPolicy::RunOnce,
            Some(wire::Missed::Skip) => MissedPolicy::Skip,
            Some(wire::Missed::CatchUp) => MissedPolicy::CatchUp,
        },
        event_type: raw.type_,
        datacontenttype: raw.datacontenttype,
        data: raw.data,
    };
    match schedule.check(now) {
        Ok(()) => Ok((raw.name, schedule)),
        Err(invalid) => Err(ValidationError::Schedule(raw.name, invalid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> wire::Descriptor {
        wire::Descriptor {
            name: "shop".into(),
            version: "1".into(),
            description: None,
            routes: Vec::new(),
            subscriptions: Vec::new(),
            schedules: Vec::new(),
            publishes: Vec::new(),
            subscribes: Vec::new(),
            config: Vec::new(),
        }
    }

    fn with_route(method: &str, path: &str) -> Result<Descriptor, ValidationError> {
        check(wire::Descriptor { routes: vec![wire::Route { method: method.into(), path: path.into() }], ..raw() })
    }

    fn check(raw: wire::Descriptor) -> Result<Descriptor, ValidationError> {
        Descriptor::check(raw, Timestamp(0))
    }

    #[test]
    fn invalid_names_and_routes_are_refused() {
        assert!(check(raw()).is_ok());
        for name in ["a", "0", "a-1", "a--b"] {
            assert!(check(wire::Descriptor { name: name.into(), ..raw() }).is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "-", "--help", "-a", "a-", "../x", "A", "a.b", "a b", "a\n", "\u{e4}", "operator", &long] {
            assert!(
                matches!(check(wire::Descriptor { name: name.into(), ..raw() }), Err(ValidationError::Name(_))),
                "{name}"
            );
        }
        assert!(with_route("GET", "/users/{id}").is_ok());
        assert!(matches!(with_route("FETCH", "/"), Err(ValidationError::Method(_))));
        assert!(matches!(with_route("GET", "users"), Err(ValidationError::Path(..))));
        assert!(matches!(with_route("GET", "/{a}{b}"), Err(ValidationError::Path(..))));
        assert!(matches!(with_route("POST", "/events"), Err(ValidationError::Path(..))));
    }

    #[test]
    fn routes_that_the_router_cannot_tell_apart_are_refused() {
        let with = |paths: [&str; 2], methods: [&str; 2]| {
            let routes = paths
                .into_iter()
                .zip(methods)
                .map(|(path, method)| wire::Route { method: method.to_owned(), path: path.to_owned() });
            check(wire::Descriptor { routes: routes.collect(), ..raw() })
        };
        for paths in [
            ["/users/{id}", "/users/{name}"],
            ["/{*a}", "/{*b}"],
            ["/{*rest}", "/{a}"],
            ["/{*rest}", "/{a}/b"],
            ["/files/{name}", "/files/{*rest}"],
        ] {
            let refused = with(paths, ["GET", "GET"]);
            assert!(matches!(&refused, Err(ValidationError::Conflict(..))), "{paths:?}: {refused:?}");
            assert!(with(paths, ["GET", "POST"]).is_ok(), "{paths:?}");
        }
        for paths in [
            ["/users/{id}", "/users/me"],
            ["/users/{id}", "/users/{name}/orders"],
            ["/users/{id}", "/users/{id}.json"],
            ["/{*rest}", "/a/{b}"],
        ] {
            assert!(with(paths, ["GET", "GET"]).is_ok(), "{paths:?}");
        }
    }

    fn subscription(pattern: &str) -> wire::Subscription {
        wire::Subscription {
            name: "a".into(),
            pattern: pattern.into(),
            filters: None,
            start: None,
            concurrency: None,
            ordering_key: None,
            dead_letter_policy: None,
            max_backlog: None,
            retry: None,
            timeout_ms: None,
        }
    }

    #[test]
    fn invalid_rules_are_named_with_their_subscription() {
        let refused = |subscription: wire::Subscription| {
            let descriptor = wire::Descriptor { subscriptions: vec![subscription], ..raw() };
            matches!(check(descriptor), Err(ValidationError::Rule(name, _)) if name == "a")
        };
        assert!(!refused(subscription("a")));
        assert!(refused(subscription("a..b")));
        assert!(refused(wire::Subscription { filters: Some("[{}]".into()), ..subscription("a") }));
        assert!(refused(wire::Subscription { ordering_key: Some("A B".into()), ..subscription("a") }));
        assert!(refused(wire::Subscription { concurrency: Some(0), ..subscription("a") }));
        assert!(refused(wire::Subscription { max_backlog: Some(0), ..subscription("a") }));
    }

    #[test]
    fn a_schedule_without_a_next_time_is_refused() {
        let schedule = |cron: &str| wire::Schedule {
            name: "daily".into(),
            cron: cron.into(),
            timezone: None,
            missed: None,
            type_: "tick".into(),
            datacontenttype: None,
            data: None,
        };
        let check = |cron| check(wire::Descriptor { schedules: vec![schedule(cron)], ..raw() });
        assert!(check("0 9 * * *").is_ok());
        assert!(matches!(check("0 0 31 2 *"), Err(ValidationError::Schedule(..))));
    }

    #[test]
    fn a_schedule_publishes_no_reserved_types() {
        let check = |event_type: &str| {
            let schedule = wire::Schedule {
                name: "daily".into(),
                cron: "0 9 * * *".into(),
                timezone: None,
                missed: None,
                type_: event_type.into(),
                datacontenttype: None,
                data: None,
            };
            check(wire::Descriptor { schedules: vec![schedule], ..raw() })
        };
        assert!(check("schedule.shop.daily").is_ok() && check("tick").is_ok());
        for event_type in ["schedule.mailer.daily", "schedule.shop", "Schedule.shop.daily", "sandbus.tick"] {
            assert!(matches!(check(event_type), Err(ValidationError::ScheduleReserved(..))), "{event_type}");
        }
    }

    /// A descriptor for each of its texts, which has the sample in it.
    fn with_text(text: &str) -> Vec<(&'static str, wire::Descriptor)> {
        let sample = || format!("a{text}");
        let route = |method: String, path: String| vec![wire::Route { method, path }];
        let key = || wire::ConfigKey { name: "k".into(), default: None, description: None };
        let schedule = || wire::Schedule {
            name: "daily".into(),
            cron: "0 9 * * *".into(),
            timezone: None,
            missed: None,
            type_: "tick".into(),
            datacontenttype: None,
            data: None,
        };
        let keys = |key| wire::Descriptor { config: vec![key], ..raw() };
        let schedules = |schedule| wire::Descriptor { schedules: vec![schedule], ..raw() };
        let subscriptions = |subscription| wire::Descriptor { subscriptions: vec![subscription], ..raw() };
        vec![
            ("name", wire::Descriptor { name: sample(), ..raw() }),
            ("version", wire::Descriptor { version: sample(), ..raw() }),
            ("description", wire::Descriptor { description: Some(sample()), ..raw() }),
            ("method", wire::Descriptor { routes: route(sample(), "/a".into()), ..raw() }),
            ("path", wire::Descriptor { routes: route("GET".into(), format!("/{text}")), ..raw() }),
            ("publishes", wire::Descriptor { publishes: vec![sample()], ..raw() }),
            ("subscribes", wire::Descriptor { subscribes: vec![sample()], ..raw() }),
            ("key", keys(wire::ConfigKey { name: sample(), ..key() })),
            ("default", keys(wire::ConfigKey { default: Some(sample()), ..key() })),
            ("key's description", keys(wire::ConfigKey { description: Some(sample()), ..key() })),
            ("subscription", subscriptions(wire::Subscription { name: sample(), ..subscription("a") })),
            ("pattern", subscriptions(subscription(&sample()))),
            (
                "filters",
                subscriptions(wire::Subscription {
                    filters: Some(format!("[{{\"exact\":{{\"subject\":\"{text}\"}}}}]")),
                    ..subscription("a")
                }),
            ),
            (
                "ordering key",
                subscriptions(wire::Subscription { ordering_key: Some(format!("/{text}")), ..subscription("a") }),
            ),
            ("schedule", schedules(wire::Schedule { name: sample(), ..schedule() })),
            ("cron", schedules(wire::Schedule { cron: format!("0 9 * * *{text}"), ..schedule() })),
            ("timezone", schedules(wire::Schedule { timezone: Some(format!("Europe/Berlin{text}")), ..schedule() })),
            ("type", schedules(wire::Schedule { type_: sample(), ..schedule() })),
            (
                "media type",
                schedules(wire::Schedule { datacontenttype: Some(format!("text/plain{text}")), ..schedule() }),
            ),
        ]
    }

    #[test]
    fn texts_with_unprintable_characters_are_refused() {
        for text in
            ["\u{1b}", "\u{7}", "\u{0}", "\r", "\u{7f}", "\u{9b}", "\u{202e}", "\u{2066}", "\u{200f}", "\u{2028}"]
        {
            for (what, descriptor) in with_text(text) {
                // Lines may end with a carriage return, as in files from Windows.
                if text == "\r" && ["description", "default", "key's description"].contains(&what) {
                    continue;
                }
                assert!(check(descriptor).is_err(), "{what} with {text:?}");
            }
        }
        for (what, descriptor) in with_text("\n") {
            let may_have_lines = ["description", "default", "key's description"].contains(&what);
            assert_eq!(check(descriptor).is_ok(), may_have_lines, "{what} with a line break");
        }
    }
}
