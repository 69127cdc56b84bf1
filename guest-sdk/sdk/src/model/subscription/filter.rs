//! Filters of events by their attributes.

use serde_json::{Value, json};

/// A condition on the attributes of events: a filter of the CloudEvents Subscriptions API.
///
/// ```
/// use sandbus_sdk::subscriptions::{Filter, Subscription};
///
/// let filter = Filter::any([
///     Filter::exact("subject", "customer-12"),
///     Filter::all([Filter::prefix("source", "/shop"), Filter::not(Filter::suffix("subject", ".test"))]),
/// ]);
/// let subscription = Subscription::new("orders", "order.>").to_plugin("billing").filter(filter);
/// # assert_eq!(subscription.filters.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Value);

impl Filter {
    /// Matches if an attribute has this value.
    #[must_use]
    pub fn exact(attribute: &str, value: &str) -> Self {
        Self::of("exact", json!({ attribute: value }))
    }

    /// Matches if an attribute's value begins with this text.
    #[must_use]
    pub fn prefix(attribute: &str, value: &str) -> Self {
        Self::of("prefix", json!({ attribute: value }))
    }

    /// Matches if an attribute's value ends with this text.
    #[must_use]
    pub fn suffix(attribute: &str, value: &str) -> Self {
        Self::of("suffix", json!({ attribute: value }))
    }

    /// Matches if all of these filters match.
    #[must_use]
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::of("all", values(filters))
    }

    /// Matches if at least one of these filters matches.
    #[must_use]
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::of("any", values(filters))
    }

    /// Matches if this filter does not match.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "the dialect's name; `!filter` would say less")]
    pub fn not(filter: Self) -> Self {
        Self::of("not", filter.0)
    }

    fn of(dialect: &str, inner: Value) -> Self {
        Self(Value::from_iter([(dialect, inner)]))
    }

    /// The JSON array of the contract.
    pub(super) fn array(filters: &[Self]) -> String {
        filters.iter().map(|filter| filter.0.clone()).collect::<Value>().to_string()
    }
}

fn values(filters: impl IntoIterator<Item = Filter>) -> Value {
    filters.into_iter().map(|filter| filter.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_the_dialects_of_cloudevents() {
        let filters = [
            Filter::exact("subject", "x"),
            Filter::not(Filter::any([Filter::prefix("source", "/a"), Filter::all([Filter::suffix("id", "\"z")])])),
        ];
        let json: Value = serde_json::from_str(&Filter::array(&filters)).unwrap();
        let expected = json!([
            { "exact": { "subject": "x" } },
            { "not": { "any": [{ "prefix": { "source": "/a" } }, { "all": [{ "suffix": { "id": "\"z" } }] }] } },
        ]);
        assert_eq!(json, expected);
    }
}
