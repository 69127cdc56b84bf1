//! The rules that an operator gives a subscription: a new one, or changes of one that exists.

use std::num::NonZeroU64;

use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::endpoint;
use crate::filter::{Filter, Filters};
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::plugin::{Defaults, SubscriptionOverrides};
use crate::problem::Problem;
use crate::secrecy;
use crate::subscription::{Definition, RetryPolicy, Start, Target, is_valid_name};

/// The body of `POST /subscriptions`. Rules that are left out keep their value, or have the default of a new
/// subscription.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedRules {
    pub(super) name: String,
    pattern: Option<Pattern>,
    /// Merged into the present target of the same kind (RFC 7396).
    target: Option<Value>,
    filters: Option<Vec<Filter>>,
    /// Where a new subscription begins.
    pub(super) start: Option<Start>,
    /// Null takes the ordering key away.
    #[serde(default, deserialize_with = "given")]
    ordering_key: Option<Option<String>>,
    #[serde(default)]
    rules: SubscriptionOverrides,
}

/// Tells null from a member that is left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl WantedRules {
    /// The rules that the subscription is to have.
    ///
    /// # Errors
    /// If one is malformed, or a new subscription lacks one.
    pub(super) fn definition(&self, present: Option<&Definition>, defaults: &Defaults) -> Result<Definition, Problem> {
        if !is_valid_name(&self.name) {
            let detail = format!(
                "`{}` is not a subscription name; use 1 to 128 letters, digits, `-` and `_`, and begin with no `-`",
                self.name
            );
            return Err(invalid(detail));
        }
        let mut definition = match present {
            Some(present) => present.clone(),
            None => self.fresh(defaults)?,
        };
        if let Some(pattern) = &self.pattern {
            definition.pattern = pattern.clone();
        }
        if let Some(target) = &self.target {
            definition.target = merged_target(present, target)?;
        }
        if let Some(filters) = &self.filters {
            definition.filters = Filters::new(filters.clone()).map_err(|error| invalid(error.to_string()))?;
        }
        if let Some(key) = &self.ordering_key {
            let key = key.as_deref().map(OrderingKey::parse).transpose();
            definition.ordering_key = key.map_err(|error| invalid(error.to_string()))?;
        }
        self.override_rules(&mut definition)?;
        Ok(definition)
    }

    /// A new subscription, before its optional rules are applied.
    fn fresh(&self, defaults: &Defaults) -> Result<Definition, Problem> {
        let pattern = self.pattern.clone().ok_or_else(|| missing("pattern"))?;
        let target = merged_target(None, self.target.as_ref().ok_or_else(|| missing("target"))?)?;
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

    fn override_rules(&self, definition: &mut Definition) -> Result<(), Problem> {
        let rules = &self.rules;
        definition.retry = rules.retry(definition.retry.clone()).map_err(|error| invalid(error.to_string()))?;
        definition.concurrency = rules.concurrency.unwrap_or(definition.concurrency);
        definition.dead_letter_policy = rules.dead_letter_policy.unwrap_or(definition.dead_letter_policy);
        definition.max_backlog = rules.max_backlog.map(NonZeroU64::get).or(definition.max_backlog);
        definition.timeout = rules.timeout.unwrap_or(definition.timeout);
        Ok(())
    }
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-subscription", detail)
}

fn missing(rule: &str) -> Problem {
    invalid(format!("a new subscription needs a {rule}"))
}

/// A target whose members replace those of the present one, if that is of the same kind.
fn merged_target(present: Option<&Definition>, wanted: &Value) -> Result<Target, Problem> {
    let present = present.map(|present| json!(present.target)).unwrap_or_default();
    let kind = |target: &Value| target.as_object().and_then(|members| members.keys().next().cloned());
    let mut target = if kind(&present) == kind(wanted) { present } else { json!({}) };
    merge(&mut target, wanted);
    let target: Target = serde_json::from_value(target)
        .map_err(|error| invalid(format!("the target is malformed: {error}; name a plugin or a webhook")))?;
    if let Target::Webhook(webhook) = &target {
        endpoint::host_and_port(&webhook.url).map_err(invalid)?;
    }
    Ok(target)
}

/// A JSON merge patch (RFC 7396, section 2).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The rules of a subscription as operators see them. Secrets are left out.
pub(super) fn describe(definition: &Definition) -> Map<String, Value> {
    let target = match &definition.target {
        Target::Plugin(name) => json!({ "plugin": name }),
        Target::Webhook(webhook) => {
            json!({ "webhook": secrecy::address(&webhook.url), "signed": webhook.secret.is_some(), "handshake": webhook.handshake })
        }
    };
    let rules = json!({
        "pattern": definition.pattern,
        "filters": definition.filters,
        "target": target,
        "concurrency": definition.parallelism(),
        "ordering_key": definition.ordering_key,
        "dead_letter_policy": definition.dead_letter_policy,
        "retry": definition.retry,
        "max_backlog": definition.max_backlog,
        "timeout": humantime::format_duration(definition.timeout).to_string(),
    });
    match rules {
        Value::Object(rules) => rules,
        _ => Map::new(),
    }
}

/// What differs between the rules before and after a change, one entry for each rule.
pub(super) fn changes(before: &Definition, after: &Definition) -> Vec<Value> {
    let (old, new) = (describe(before), describe(after));
    let differs = |rule: &&String| old.get(*rule) != new.get(*rule);
    let mut changes: Vec<_> = new
        .keys()
        .filter(differs)
        .map(|rule| json!({ "rule": rule, "before": old.get(rule), "after": new.get(rule) }))
        .collect();
    if before.target != after.target && old.get("target") == new.get("target") {
        changes.push(json!({ "rule": "secret", "before": "hidden", "after": "hidden" }));
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::plugin::Limits;

    fn defaults() -> Defaults {
        let few = NonZeroU32::new(4).unwrap();
        Defaults {
            limits: Limits::default(),
            subscription_concurrency: few,
            plugin_concurrency: few,
            memory_ceiling_bytes: 1 << 30,
        }
    }

    fn wanted(rules: Value) -> WantedRules {
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
            "rules": { "attempts": 3, "concurrency": 2, "dead_letter_policy": "park", "max_backlog": 9, "timeout": "2s" },
        }));
        all.definition(None, &defaults()).unwrap()
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
            (json!({ "target": { "plugin": "p" } }), vec!["target"]),
            (json!({ "rules": { "attempts": 4 } }), vec!["retry"]),
            (json!({ "rules": { "timeout": "1s", "max_backlog": 1 } }), vec!["max_backlog", "timeout"]),
        ];
        for (mut rules, expected) in cases {
            rules["name"] = json!("audit");
            let definition = wanted(rules.clone()).definition(Some(&present()), &defaults()).unwrap();
            let changed = changes(&present(), &definition);
            let changed: Vec<_> = changed.iter().map(|change| change["rule"].as_str().unwrap()).collect();
            assert_eq!(changed, expected, "{rules}");
        }
    }

    #[test]
    fn another_url_keeps_the_secret_and_another_secret_is_not_shown() {
        let url = json!({ "name": "audit", "target": { "webhook": { "url": "https://example.com/other" } } });
        let moved = wanted(url).definition(Some(&present()), &defaults()).unwrap();
        let Target::Webhook(webhook) = &moved.target else { panic!("a webhook") };
        assert!(webhook.secret.is_some() && webhook.handshake);
        let secret = json!({ "webhook": { "secret": "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2" } });
        let rotated = wanted(json!({ "name": "audit", "target": secret }));
        let rotated = rotated.definition(Some(&present()), &defaults()).unwrap();
        let changes = changes(&present(), &rotated);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0]["rule"], "secret");
        assert!(!json!(changes).to_string().contains("whsec_"));
    }

    #[test]
    fn a_new_subscription_needs_a_pattern_and_a_target() {
        for rules in [json!({ "name": "a" }), json!({ "name": "a", "pattern": "a.b" })] {
            assert!(wanted(rules).definition(None, &defaults()).is_err());
        }
    }
}
