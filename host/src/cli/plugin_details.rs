//! `sandbus plugins show`: a plugin with the rules that apply to it, for people.

use super::output::{cell, digest, list, optional};
use crate::api::{CorsRuleView, GrantsView, PluginView, RequestedGrantsView, RetryView, SubscriptionView};
use crate::printable;

/// The lines about a plugin. The subscriptions are those that it owns.
pub(super) fn show(plugin: &PluginView, subscriptions: &[SubscriptionView]) -> String {
    let (name, version) = (optional(plugin.name.as_ref()), optional(plugin.version.as_ref()));
    let description = plugin.description.as_ref().map(|text| format!(": {}", printable::line(text)));
    let mut lines = vec![format!("{name} {version}{}", description.unwrap_or_default())];
    let mut line = |title: &str, text: String| lines.push(format!("{title:<14}{text}"));
    line("status", cell(plugin.status.as_str()));
    if let Some(error) = &plugin.error {
        line("error", printable::line(error).into_owned());
    }
    line("file", optional(plugin.file.as_ref()));
    line("digest", optional(plugin.digest.as_ref()));
    if let Some(limits) = &plugin.limits {
        let memory = limits.memory_bytes >> 20;
        let (timeout, concurrency) = (cell(&limits.timeout), limits.concurrency);
        line("limits", format!("{memory} MiB of memory, {timeout}, {concurrency} at a time"));
    }
    if let Some(pin) = &plugin.rolled_back {
        let reason = printable::line(&pin.reason);
        line("rolled back", format!("to {}, since {}: {reason}", digest(Some(&pin.runs)), cell(&pin.since)));
    }
    if let Some(RequestedGrantsView { publish, subscribe }) = &plugin.asks_for {
        let requested = [("publish", publish), ("subscribe", subscribe)];
        for (what, patterns) in requested.into_iter().filter(|(_, patterns)| !patterns.is_empty()) {
            line("requests", format!("{what} {}", list(patterns)));
        }
    }
    if let Some(granted) = &plugin.granted {
        show_grants(granted, &mut line);
    }
    if !plugin.withheld.is_empty() {
        line("withheld", list(&plugin.withheld));
    }
    plugin.routes.iter().for_each(|route| line("route", cell(route)));
    for CorsRuleView { routes, origins, credentials, .. } in &plugin.cors {
        let credentials = if *credentials { ", with credentials" } else { "" };
        line("cors", format!("{}: from {}{credentials}", list(routes), list(origins)));
    }
    for subscription in subscriptions {
        show_subscription(subscription, &mut line);
    }
    for schedule in &plugin.schedules {
        let timezone = cell(schedule.timezone.as_deref().unwrap_or("UTC"));
        line("schedule", format!("{}: {} ({timezone})", cell(&schedule.name), cell(&schedule.cron)));
    }
    for key in &plugin.config_keys {
        let default = key.default.as_ref().map(|default| format!(" (default {})", cell(default)));
        line("config", format!("{}{}", cell(&key.name), default.unwrap_or_default()));
    }
    for generation in &plugin.generations {
        let digest = digest(Some(&generation.digest));
        line("generation", format!("{digest} {}, since {}", cell(&generation.version), cell(&generation.since)));
    }
    lines.join("\n")
}

fn show_grants(granted: &GrantsView, line: &mut impl FnMut(&str, String)) {
    let GrantsView { publish, subscribe, webhooks, http, networks } = granted;
    let grants = [
        ("may publish", publish),
        ("may subscribe", subscribe),
        ("may call", http),
        ("webhooks to", webhooks),
        ("in networks", networks),
    ];
    for (title, patterns) in grants.into_iter().filter(|(_, patterns)| !patterns.is_empty()) {
        line(title, list(patterns));
    }
}

fn show_subscription(subscription: &SubscriptionView, line: &mut impl FnMut(&str, String)) {
    let rules = &subscription.rules;
    let ordered = rules.ordering_key.as_ref().map(|key| format!(", ordered by {}", cell(key)));
    line(
        "subscription",
        format!("{}: {}{}", cell(&subscription.id), cell(&rules.pattern), ordered.unwrap_or_default()),
    );
    let RetryView { max_attempts, initial_delay, max_delay, .. } = &rules.retry;
    let attempts = match max_attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts, {} to {} apart", cell(initial_delay), cell(max_delay)),
    };
    line("", format!("{} at a time, {} each, {attempts}", rules.concurrency, cell(&rules.timeout)));
    if let Some(reason) = &subscription.waits_for {
        line("", format!("paused: {}", cell(reason)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{LimitsView, PinView, SubscriptionRules};

    #[test]
    fn a_plugin_is_shown_with_its_rules() {
        let plugin = PluginView {
            name: Some("mailer".to_owned()),
            version: Some("1.0.0".to_owned()),
            description: Some("sends\u{1b} mail".to_owned()),
            limits: Some(LimitsView { memory_bytes: 64 << 20, timeout: "5s".to_owned(), concurrency: 8 }),
            asks_for: Some(RequestedGrantsView {
                publish: vec!["a.>".to_owned(), "b.c".to_owned()],
                subscribe: vec![],
            }),
            withheld: vec!["publish a.>".to_owned()],
            cors: vec![CorsRuleView {
                routes: vec!["GET /mails".to_owned()],
                origins: vec!["https://a.example".to_owned(), "https://b.example".to_owned()],
                credentials: true,
                ..CorsRuleView::default()
            }],
            rolled_back: Some(PinView {
                runs: "0123456789abcdef".to_owned(),
                reason: "every invocation failed".to_owned(),
                since: "2030-01-01T00:00:00.000Z".to_owned(),
                ..PinView::default()
            }),
            ..PluginView::default()
        };
        let retry = RetryView {
            max_attempts: 5,
            initial_delay: "1s".to_owned(),
            max_delay: "5m".to_owned(),
            ..RetryView::default()
        };
        let rules = SubscriptionRules {
            pattern: "order.*".to_owned(),
            ordering_key: Some("subject".to_owned()),
            concurrency: 4,
            timeout: "2s".to_owned(),
            retry,
            ..SubscriptionRules::default()
        };
        let subscription = SubscriptionView { id: "mailer/send".to_owned(), rules, ..SubscriptionView::default() };
        let shown = show(&plugin, &[subscription]);
        for expected in [
            "mailer 1.0.0: sends",
            "limits        64 MiB of memory, 5s, 8 at a time",
            "requests      publish a.>, b.c\nwithheld      publish a.>",
            "cors          GET /mails: from https://a.example, https://b.example, with credentials",
            "rolled back   to 0123456789ab, since 2030-01-01T00:00:00.000Z: every invocation failed",
            "subscription  mailer/send: order.*, ordered by subject",
            "              4 at a time, 2s each, 5 attempts, 1s to 5m apart",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        assert!(!shown.replace('\n', "").chars().any(printable::is_unprintable), "{shown:?}");
    }
}
