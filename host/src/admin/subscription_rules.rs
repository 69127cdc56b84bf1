//! Applies an operator's request to the rules of a new or existing subscription.

use std::num::NonZeroU64;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::api::{
    ChangeView, DeadLetterPolicyView, RuleOverrides, SubscriptionRequest, SubscriptionRules, TargetRequest, TargetView,
    WebhookRequest,
};
use crate::endpoint;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::plugin::{Defaults, SubscriptionOverrides};
use crate::problem::Problem;
use crate::secrecy;
use crate::subscription::{DeadLetterPolicy, Definition, RetryPolicy, Target, Webhook, is_valid_name};

/// The requested definition of a subscription.
///
/// # Errors
/// If a rule is invalid, or a new subscription lacks a required rule.
pub(super) fn definition(
    request: &SubscriptionRequest,
    present: Option<&Definition>,
    defaults: &Defaults,
) -> Result<Definition, Problem> {
    if !is_valid_name(&request.name) {
        let detail = format!(
            "`{}` is not a valid subscription name; use 1 to 128 letters, digits, `-` and `_`, not beginning with `-`",
            request.name
        );
        return Err(invalid(detail));
    }
    let mut definition = match present {
        Some(present) => present.clone(),
        None => new_definition(request, defaults)?,
    };
    if let Some(pattern) = &request.pattern {
        definition.pattern = pattern.clone();
    }
    if let Some(target) = &request.target {
        definition.target = apply_target(present, target)?;
    }
    if let Some(filters) = &request.filters {
        definition.filters = Filters::new(filters.clone()).map_err(|error| invalid(error.to_string()))?;
    }
    if let Some(key) = &request.ordering_key {
        let key = key.as_deref().map(OrderingKey::parse).transpose();
        definition.ordering_key = key.map_err(|error| invalid(error.to_string()))?;
    }
    apply_overrides(&request.rules, &mut definition)?;
    Ok(definition)
}

/// A new subscription, before its optional rules are applied.
fn new_definition(request: &SubscriptionRequest, defaults: &Defaults) -> Result<Definition, Problem> {
    let pattern = request.pattern.clone().ok_or_else(|| missing("pattern"))?;
    let target = apply_target(None, request.target.as_ref().ok_or_else(|| missing("target"))?)?;
    Ok(Definition {
        pattern,
        target,
        filters: Filters::default(),
        concurrency: defaults.subscription_concurrency,
        ordering_key: None,
        dead_letter_policy: Default::default(),
        retry: RetryPolicy::default(),
        max_backlog: None,
        timeout: defaults.limits.timeout,
    })
}

fn apply_overrides(rules: &RuleOverrides, definition: &mut Definition) -> Result<(), Problem> {
    let retry = SubscriptionOverrides {
        max_attempts: rules.max_attempts,
        initial_delay: rules.initial_delay,
        backoff_multiplier: rules.backoff_multiplier,
        max_delay: rules.max_delay,
        jitter: rules.jitter,
        non_retryable: rules.non_retryable.clone(),
        concurrency: rules.concurrency,
        timeout: rules.timeout,
        ..SubscriptionOverrides::default()
    };
    definition.retry = retry.retry(definition.retry.clone()).map_err(|error| invalid(error.to_string()))?;
    definition.concurrency = rules.concurrency.unwrap_or(definition.concurrency);
    definition.dead_letter_policy = rules.dead_letter_policy.unwrap_or(definition.dead_letter_policy);
    definition.max_backlog = rules.max_backlog.map(NonZeroU64::get).or(definition.max_backlog);
    definition.timeout = rules.timeout.unwrap_or(definition.timeout);
    Ok(())
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-subscription", detail)
}

fn missing(rule: &str) -> Problem {
    invalid(format!("a new subscription needs a {rule}"))
}

/// The requested target: a new one, or the current webhook with changes.
fn apply_target(present: Option<&Definition>, requested: &TargetRequest) -> Result<Target, Problem> {
    let webhook = match (requested, present.map(|present| &present.target)) {
        (TargetRequest::Plugin(name), _) => return Ok(Target::Plugin(name.clone())),
        (TargetRequest::Webhook(changes), Some(Target::Webhook(present))) => {
            apply_webhook_changes(present.clone(), changes)
        }
        (TargetRequest::Webhook(changes), _) => {
            let url = changes.url.as_ref().ok_or_else(|| invalid("a webhook needs a `url`".to_owned()))?;
            apply_webhook_changes(Webhook::new(url), changes)
        }
    };
    endpoint::host_and_port(&webhook.url).map_err(invalid)?;
    Ok(Target::Webhook(webhook))
}

fn apply_webhook_changes(mut webhook: Webhook, changes: &WebhookRequest) -> Webhook {
    let WebhookRequest { url, secret, former_secrets, handshake } = changes;
    if let Some(url) = url {
        webhook.url.clone_from(url);
    }
    if let Some(secret) = secret {
        webhook.secret.clone_from(secret);
    }
    if let Some(former) = former_secrets {
        webhook.former_secrets = former.clone().unwrap_or_default();
    }
    if let Some(handshake) = handshake {
        webhook.handshake = handshake.unwrap_or_default();
    }
    webhook
}

/// The rules of a subscription in the API's form.
pub(super) fn view(definition: &Definition) -> SubscriptionRules {
    SubscriptionRules {
        pattern: definition.pattern.to_string(),
        filters: match serde_json::to_value(&definition.filters) {
            Ok(Value::Array(filters)) => filters,
            _ => Vec::new(),
        },
        target: match &definition.target {
            Target::Plugin(name) => TargetView::Plugin { plugin: name.clone() },
            Target::Webhook(webhook) => TargetView::Webhook {
                webhook: secrecy::address(&webhook.url),
                signed: webhook.secret.is_some(),
                handshake: webhook.handshake,
                former_secrets_until: Vec::new(),
            },
        },
        concurrency: definition.concurrency.get(),
        ordering_key: definition.ordering_key.clone().map(String::from),
        dead_letter_policy: match definition.dead_letter_policy {
            DeadLetterPolicy::Release => DeadLetterPolicyView::Release,
            DeadLetterPolicy::Park => DeadLetterPolicyView::Park,
        },
        retry: (&definition.retry).into(),
        max_backlog: definition.max_backlog,
        timeout: crate::duration::format(definition.timeout),
    }
}

/// The rules that differ before and after a change.
pub(super) fn changes(before: &Definition, after: &Definition) -> Vec<ChangeView> {
    let (old, new) = (view(before), view(after));
    let is_hidden = before.target != after.target && old.target == new.target;
    let mut old = members(&old);
    let changed = members(&new).into_iter().filter_map(|(rule, after)| {
        let before = old.remove(&rule).unwrap_or_default();
        (before != after).then_some(ChangeView { rule, before, after })
    });
    let mut changes: Vec<_> = changed.collect();
    if is_hidden {
        let hidden = || Value::from("hidden");
        changes.push(ChangeView { rule: "secret".to_owned(), before: hidden(), after: hidden() });
    }
    changes
}

/// The rules by their names.
fn members(rules: &SubscriptionRules) -> Map<String, Value> {
    match serde_json::to_value(rules) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use serde_json::json;

    use super::*;
    use crate::plugin::Limits;

    fn defaults() -> Defaults {
        let few = NonZeroU32::new(4).unwrap();
        Defaults {
            limits: Limits::default(),
            subscription_concurrency: few,
            plugin_concurrency: few,
            max_memory_bytes: 1 << 30,
        }
    }

    fn wanted(rules: Value) -> SubscriptionRequest {
        serde_json::from_value(rules).unwrap()
    }

    fn present() -> Definition {
        let all = wanted(json!({
            "name": "audit",
            "pattern": "order.>",
            "target": { "webhook": {
                "url": "https://example.com/hook",
                "secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
                "handshake": true,
            } },
            "filters": [{ "exact": { "subject": "a" } }],
            "ordering_key": "subject",
            "rules": { "max_attempts": 3, "concurrency": 2, "dead_letter_policy": "park", "max_backlog": 9, "timeout": "2s" },
        }));
        definition(&all, None, &defaults()).unwrap()
    }

    #[test]
    fn a_rule_that_is_left_out_keeps_its_value() {
        let cases = [
            (json!({}), vec![]),
            (json!({ "pattern": "order.*" }), vec!["pattern"]),
            (json!({ "filters": [] }), vec!["filters"]),
            (json!({ "ordering_key": null }), vec!["ordering_key"]),
            (json!({ "ordering_key": "/id" }), vec!["ordering_key"]),
            (json!({ "target": { "webhook": { "url": "https://example.com/other" } } }), vec!["target"]),
            (json!({ "target": { "webhook": { "secret": null } } }), vec!["target"]),
            (json!({ "target": { "webhook": { "handshake": null } } }), vec!["target"]),
            (json!({ "target": { "plugin": "p" } }), vec!["target"]),
            (json!({ "rules": { "max_attempts": 4 } }), vec!["retry"]),
            (json!({ "rules": { "timeout": "1s", "max_backlog": 1 } }), vec!["max_backlog", "timeout"]),
        ];
        for (mut rules, expected) in cases {
            rules["name"] = json!("audit");
            let definition = definition(&wanted(rules.clone()), Some(&present()), &defaults()).unwrap();
            let changed = changes(&present(), &definition);
            let changed: Vec<_> = changed.iter().map(|change| change.rule.as_str()).collect();
            assert_eq!(changed, expected, "{rules}");
        }
    }

    #[test]
    fn another_url_keeps_the_secret_and_another_secret_is_not_shown() {
        let url = json!({ "name": "audit", "target": { "webhook": { "url": "https://example.com/other" } } });
        let moved = definition(&wanted(url), Some(&present()), &defaults()).unwrap();
        let Target::Webhook(webhook) = &moved.target else { panic!("a webhook") };
        assert!(webhook.secret.is_some() && webhook.handshake);
        let secret = json!({ "webhook": { "secret": "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2" } });
        let rotated = wanted(json!({ "name": "audit", "target": secret }));
        let rotated = definition(&rotated, Some(&present()), &defaults()).unwrap();
        let changes = changes(&present(), &rotated);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].rule, "secret");
        assert!(!json!(changes).to_string().contains("whsec_"));
    }

    #[test]
    fn a_new_subscription_needs_a_pattern_and_a_target() {
        for rules in [json!({ "name": "a" }), json!({ "name": "a", "pattern": "a.b" })] {
            assert!(definition(&wanted(rules), None, &defaults()).is_err());
        }
    }
}
