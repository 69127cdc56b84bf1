//! Reads the parameters of the ledger's operations. A value that no record can match is refused.

use super::query::invalid;
use crate::event::{AttributeError, check_attribute};
use crate::problem::Problem;
use crate::subscription::{SubscriptionId, is_valid_name};

/// The length of a digest in hexadecimal digits.
const DIGEST_LENGTH: usize = 64;

/// The subscription, or all subscriptions and routes of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) plugin: Option<String>,
    /// The name of the subscription within the plugin.
    pub(super) subscription: Option<String>,
}

impl Owner {
    /// Reads `plugin` and `subscription`.
    pub(super) fn of(plugin: Option<String>, subscription: Option<&str>) -> Result<Self, Problem> {
        let plugin = self::plugin(plugin)?;
        let Some(text) = subscription else { return Ok(Self { plugin, subscription: None }) };
        let id: SubscriptionId = text.parse().map_err(|error| invalid(format!("`subscription`: {error}")))?;
        if let Some(plugin) = plugin.filter(|plugin| *plugin != id.owner) {
            return Err(invalid(format!("the subscription `{id}` does not belong to the plugin `{plugin}`")));
        }
        let SubscriptionId { owner, name: own_name } = id;
        Ok(Self { plugin: Some(name("subscription", owner)?), subscription: Some(name("subscription", own_name)?) })
    }
}

/// A name of a plugin or a subscription.
fn name(parameter: &str, name: String) -> Result<String, Problem> {
    if is_valid_name(&name) {
        return Ok(name);
    }
    let shown: String = name.chars().take(40).collect();
    let what = "is not a name; names have 1 to 128 letters, digits, `-` and `_`";
    Err(invalid(format!("`{parameter}`: `{shown}` {what}")))
}

/// The plugin of requests.
pub(super) fn plugin(plugin: Option<String>) -> Result<Option<String>, Problem> {
    plugin.map(|plugin| name("plugin", plugin)).transpose()
}

/// Checks an attribute of events to select by: an id or a source.
pub(super) fn attribute(parameter: &str, value: Option<&str>) -> Result<(), Problem> {
    let checked = value.map_or(Ok(()), |value| check_attribute(parameter, value));
    checked.map_err(|AttributeError { what, .. }| invalid(format!("`{parameter}` {what}")))
}

/// Checks the digest of a component.
pub(super) fn digest(digest: Option<&str>) -> Result<(), Problem> {
    let is_digest = |text: &str| text.len() == DIGEST_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digest {
        Some(text) if !is_digest(text) => Err(invalid("`digest` is not a SHA-256 digest of 64 hexadecimal digits")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_record_can_match_is_refused() {
        let owner = |plugin: Option<&str>, subscription| Owner::of(plugin.map(str::to_owned), subscription);
        let both = Owner { plugin: Some("a".to_owned()), subscription: Some("b".to_owned()) };
        assert_eq!(owner(Some("a"), Some("a/b")).unwrap(), both);
        assert_eq!(owner(None, Some("a/b")).unwrap(), both);
        assert_eq!(owner(Some("a"), None).unwrap(), Owner { subscription: None, ..both });
        assert_eq!(owner(None, None).unwrap(), Owner::default());
        let long = "x".repeat(129);
        for (plugin, subscription) in [
            (Some(""), None),
            (Some("a b"), None),
            (Some("a/b"), None),
            (Some(long.as_str()), None),
            (None, Some("")),
            (None, Some("a")),
            (None, Some("/")),
            (None, Some("a/")),
            (None, Some("a/b/c")),
            (Some("b"), Some("a/b")),
        ] {
            let refused = owner(plugin, subscription).unwrap_err();
            assert_eq!(refused.code(), "invalid-query", "{plugin:?} {subscription:?}");
        }
        assert!(attribute("event", Some(&"x".repeat(64 << 10))).is_ok());
        for value in ["", "a\n", &"x".repeat((64 << 10) + 1)] {
            assert_eq!(attribute("event", Some(value)).unwrap_err().code(), "invalid-query");
        }
        assert!(digest(Some(&"0aF".repeat(30)[..64])).is_ok() && digest(None).is_ok());
        for text in ["", "12", &"g".repeat(64)] {
            assert_eq!(digest(Some(text)).unwrap_err().code(), "invalid-query");
        }
    }
}
