//! Reads the parameters that several operations share, and says what is wrong with them.

use crate::clock::Timestamp;
use crate::problem::Problem;
use crate::subscription::SubscriptionId;

pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::bad_request("invalid-query", detail)
}

/// The subscription to filter by.
pub(super) fn subscription(id: Option<&str>) -> Result<Option<SubscriptionId>, Problem> {
    let id = id.map(str::parse).transpose();
    id.map_err(|error| Problem::bad_request("invalid-subscription", format!("{error}")))
}

/// A time in RFC 3339, under the name of its parameter.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let parse =
        |text| Timestamp::parse(text).ok_or_else(|| invalid(format!("`{name}`: `{text}` is not a time in RFC 3339")));
    text.map(parse).transpose()
}

/// Checks that a request to change many items selects them: by other parameters, or with `all`.
pub(super) fn check_selection(all: bool, is_filtered: bool, items: &str, parameters: &str) -> Result<(), Problem> {
    match (all, is_filtered) {
        (true, true) => Err(invalid(format!("`all` cannot be combined with {parameters}"))),
        (false, false) => {
            let detail = format!("select {items} with {parameters}, or every one with `all=true`");
            Err(Problem::bad_request("selection-required", detail))
        }
        (true, false) | (false, true) => Ok(()),
    }
}
