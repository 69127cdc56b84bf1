//! `sandbus subscriptions show`: a subscription with the rules that apply to it and what it does now, for people.

use std::time::Duration;

use super::output::{cell, list, optional, truncate_middle};
use crate::api::{RetryView, SubscriptionRules, SubscriptionView, TargetView};

/// The lines about a subscription and its replays.
pub(super) fn show(subscriptions: &[SubscriptionView]) -> String {
    let blocks: Vec<_> = subscriptions.iter().map(|subscription| show_one(subscription).join("\n")).collect();
    blocks.join("\n\n")
}

fn show_one(subscription: &SubscriptionView) -> Vec<String> {
    let id = cell(&subscription.id);
    let mut lines = vec![match &subscription.replay {
        Some(replay) => format!("{id} (replay {})", replay.number),
        None => id,
    }];
    let mut line = |title: &str, text: String| lines.push(format!("{title:<16}{text}"));
    let reason = subscription.waits_for.as_ref().map(|reason| format!(": {}", cell(reason))).unwrap_or_default();
    line("status", format!("{}{reason}", cell(subscription.status.as_str())));
    if let Some(until) = &subscription.held_back_until {
        line("on hold until", cell(until));
    }
    if let Some(replay) = &subscription.replay {
        line("replays up to", cell(replay.until));
        line("rate", replay.per_second.map_or_else(|| "unlimited".to_owned(), |rate| format!("{rate}/s")));
    }
    show_progress(subscription, &mut line);
    // A replay has the rules of its subscription, which is shown above it.
    if subscription.replay.is_none() {
        line("created", if subscription.dynamic { "at run time" } else { "declared by its plugin" }.to_owned());
        show_rules(&subscription.rules, &mut line);
    }
    lines
}

fn show_progress(subscription: &SubscriptionView, line: &mut impl FnMut(&str, String)) {
    let SubscriptionView { cursor, backlog, in_flight, committing, .. } = subscription;
    line("cursor", cell(cursor));
    line("backlog", cell(backlog));
    line("lag", optional(subscription.lag_seconds.and_then(format_lag)));
    line("in flight", format!("{in_flight}, and {committing} whose outcome is being committed"));
    line("next attempt", optional(subscription.next_attempt.as_ref()));
    line("dead letters", cell(subscription.dead_letters));
    line("parked keys", cell(subscription.parked_keys));
    line("expired", format!("{} events since the host started", subscription.expired));
}

fn show_rules(rules: &SubscriptionRules, line: &mut impl FnMut(&str, String)) {
    line("pattern", cell(&rules.pattern));
    if rules.filters.is_empty() {
        line("filters", "-".to_owned());
    }
    rules.filters.iter().for_each(|filter| line("filter", cell(filter)));
    show_target(&rules.target, line);
    line("concurrency", cell(rules.concurrency));
    line("timeout", cell(&rules.timeout));
    line("ordering key", optional(rules.ordering_key.as_ref()));
    line("on dead letter", format!("{} the key", cell(rules.dead_letter_policy.as_str())));
    let RetryView { max_attempts, initial_delay, backoff_multiplier, max_delay, jitter, non_retryable } = &rules.retry;
    line("attempts", cell(max_attempts));
    line("retry delay", format!("{}, times {backoff_multiplier}, up to {}", cell(initial_delay), cell(max_delay)));
    line("jitter", format!("{jitter} of each delay"));
    line("not retried", list(non_retryable));
    line("max backlog", rules.max_backlog.map_or_else(|| "the default of the host".to_owned(), cell));
}

fn show_target(target: &TargetView, line: &mut impl FnMut(&str, String)) {
    match target {
        TargetView::Plugin { .. } => line("plugin", format_target(target)),
        TargetView::Webhook { webhook, signed, handshake, former_secrets_until } => {
            line("webhook", cell(webhook));
            line("signed", yes_or_no(*signed));
            line("handshake", yes_or_no(*handshake));
            former_secrets_until
                .iter()
                .for_each(|until| line("previous secret", format!("signs until {}", cell(until))));
        }
        TargetView::Other(_) => line("target", format_target(target)),
    }
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

/// How much of an address a table shows.
const ADDRESS_CHARACTERS: usize = 60;

pub(super) fn format_target(target: &TargetView) -> String {
    match target {
        TargetView::Plugin { plugin } => cell(plugin),
        TargetView::Webhook { webhook, .. } => truncate_middle(webhook, ADDRESS_CHARACTERS),
        TargetView::Other(target) => cell(target),
    }
}

/// The age of the oldest unhandled event, rounded.
pub(super) fn format_lag(seconds: f64) -> Option<String> {
    let age = Duration::try_from_secs_f64(seconds).ok()?;
    // To tenths of a second below ten seconds, else to seconds.
    let unit = if age.as_secs() < 10 { 100 } else { 1_000 };
    let rounded = u64::try_from(age.as_millis() / unit * unit).unwrap_or(u64::MAX);
    Some(humantime::format_duration(Duration::from_millis(rounded)).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{DeadLetterPolicyView, ReplayView, SubscriptionStatus};
    use crate::printable;

    fn rules() -> SubscriptionRules {
        SubscriptionRules {
            pattern: "order.*".to_owned(),
            filters: vec![json!({ "exact": { "source": "/shop\u{1b}" } })],
            target: TargetView::Webhook {
                webhook: "https://hooks.example.com/a".to_owned(),
                signed: true,
                handshake: false,
                former_secrets_until: vec!["2030-01-01T00:00:00.000Z".to_owned()],
            },
            concurrency: 4,
            ordering_key: Some("subject".to_owned()),
            dead_letter_policy: DeadLetterPolicyView::Park,
            retry: RetryView {
                max_attempts: 5,
                initial_delay: "1s".to_owned(),
                backoff_multiplier: 2.5,
                max_delay: "5m".to_owned(),
                jitter: 0.2,
                non_retryable: vec!["trap".to_owned(), "timeout".to_owned()],
            },
            max_backlog: Some(1_000),
            timeout: "2s".to_owned(),
        }
    }

    #[test]
    fn a_subscription_is_shown_with_its_rules_and_its_progress() {
        let subscription = SubscriptionView {
            id: "operator/hook".to_owned(),
            dynamic: true,
            status: SubscriptionStatus::Paused,
            resumable: true,
            waits_for: Some("the endpoint is on hold".to_owned()),
            held_back_until: Some("2030-01-02T00:00:00.000Z".to_owned()),
            cursor: 17,
            backlog: 3,
            in_flight: 2,
            committing: 1,
            parked_keys: 1,
            expired: 6,
            lag_seconds: Some(61.2),
            next_attempt: Some("2030-01-03T00:00:00.000Z".to_owned()),
            dead_letters: 4,
            replay: None,
            rules: rules(),
        };
        let replay = SubscriptionView {
            id: "operator/hook".to_owned(),
            replay: Some(ReplayView { number: 9, until: 12, per_second: None }),
            ..SubscriptionView::default()
        };
        let shown = show(&[subscription, replay]);
        let expected = [
            "operator/hook",
            "status          paused: the endpoint is on hold",
            "on hold until   2030-01-02T00:00:00.000Z",
            "cursor          17",
            "backlog         3",
            "lag             1m 1s",
            "in flight       2, and 1 whose outcome is being committed",
            "next attempt    2030-01-03T00:00:00.000Z",
            "dead letters    4",
            "parked keys     1",
            "expired         6 events since the host started",
            "created         at run time",
            "pattern         order.*",
            "filter          {\"exact\":{\"source\":\"/shop\\u001b\"}}",
            "webhook         https://hooks.example.com/a",
            "signed          yes",
            "handshake       no",
            "previous secret signs until 2030-01-01T00:00:00.000Z",
            "concurrency     4",
            "timeout         2s",
            "ordering key    subject",
            "on dead letter  park the key",
            "attempts        5",
            "retry delay     1s, times 2.5, up to 5m",
            "jitter          0.2 of each delay",
            "not retried     trap, timeout",
            "max backlog     1000",
            "",
            "operator/hook (replay 9)",
        ];
        let lines: Vec<_> = shown.lines().collect();
        let differing = lines.iter().zip(expected).find(|(line, expected)| *line != expected);
        assert!(differing.is_none() && lines.len() > expected.len(), "{differing:?}: {shown}");
        assert!(shown.contains("\nreplays up to   12\nrate            unlimited\n"), "{shown}");
        assert!(!shown.replace('\n', "").chars().any(printable::is_unprintable), "{shown:?}");
    }
}
