//! The meaning of a webhook's response (CloudEvents HTTP 1.1 Web Hooks 1.0.2, section 2.2).

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};

use crate::clock::Timestamp;

/// The maximum time for which an endpoint can be held. After that, it gets another request.
pub(super) const MAX_HOLD: Duration = Duration::from_hours(24 * 30);

/// The result of a webhook request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WebhookResult {
    /// The endpoint accepted the event.
    Accepted,
    /// The endpoint will never accept this event.
    Rejected(String),
    /// The endpoint may accept this event later.
    Failed(String),
    /// The endpoint accepts no requests for some time. If it does not say how long, the retry policy decides.
    Overloaded(String, Option<Duration>),
    /// The endpoint accepts no requests any more.
    Gone(String),
}

impl WebhookResult {
    /// Why the endpoint did not accept the event; empty if it did.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Accepted => "",
            Self::Rejected(reason) | Self::Failed(reason) | Self::Overloaded(reason, _) | Self::Gone(reason) => reason,
        }
    }

    /// Interprets a response. Temporary failures are retried, others are not (as in Knative Eventing's delivery).
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        if status.is_success() {
            return Self::Accepted;
        }
        let reason = format!("the webhook answered {}", status_text(status));
        match status.as_u16() {
            300..=303 | 307 | 308 => Self::Rejected(format!("{reason}, and redirects are not followed")),
            410 => Self::Gone(reason),
            429 | 503 => Self::Overloaded(reason, retry_after(headers, now)),
            // Statuses outside of 100 to 599 are invalid and count as server errors. So do informational ones, which
            // are not final responses (RFC 9110, sections 15 and 15.2).
            100..=199 | 404 | 408 | 409 | 425 | 500.. => match retry_after(headers, now) {
                Some(after) => Self::Overloaded(reason, Some(after)),
                None => Self::Failed(reason),
            },
            _ => Self::Rejected(reason),
        }
    }
}

/// A status with its name, if it has one.
pub(super) fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(name) => format!("{} {name}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// The hold that a response asks for: `Retry-After` in seconds, or as a date in one of the three forms (RFC 9110,
/// sections 10.2.3 and 5.6.7). None if it is missing, malformed, or in the past.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let values = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    let longest = values.filter_map(|value| delay(value.trim(), now)).max()?;
    Some(longest.min(MAX_HOLD)).filter(|delay| !delay.is_zero())
}

fn delay(text: &str, now: Timestamp) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows exceeds the maximum anyway.
        return Some(text.parse().map_or(MAX_HOLD, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_1970 = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let until = Timestamp(u64::try_from(since_1970.as_millis()).ok()?);
    Some(until.since(now))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// Sunday, 6 November 1994, 08:49:07 UTC: half a minute before the examples of RFC 9110, section 5.6.7.
    const NOW: Timestamp = Timestamp(784_111_747_000);

    fn answer(status: u16, retry_after: &[&'static str]) -> WebhookResult {
        let mut headers = HeaderMap::new();
        for value in retry_after {
            headers.append(RETRY_AFTER, HeaderValue::from_static(value));
        }
        WebhookResult::of(StatusCode::from_u16(status).unwrap(), &headers, NOW)
    }

    /// Web Hooks 1.0.2, section 2.2, and Knative's delivery for what that leaves open.
    #[test]
    fn statuses_decide_what_becomes_of_an_event() {
        let refused =
            ["300", "304", "305", "399", "400", "401", "402", "403", "405", "406", "411", "413", "415", "422", "499"];
        // RFC 9110, section 15: an invalid status is processed as a 5xx. Section 15.2: a 1xx is not a final answer.
        let failed = [
            "404", "408", "409", "425", "500", "501", "502", "504", "507", "599", "100", "101", "103", "199", "600",
            "700", "999",
        ];
        let kind = |status: &str| match answer(status.parse().unwrap(), &[]) {
            WebhookResult::Accepted => "taken",
            WebhookResult::Rejected(_) => "refused",
            WebhookResult::Failed(_) => "failed",
            WebhookResult::Overloaded(..) => "overloaded",
            WebhookResult::Gone(_) => "gone",
        };
        let all = [
            ("taken", &["200", "201", "202", "203", "204", "205", "299"][..]),
            ("refused", &refused),
            ("failed", &failed),
            ("overloaded", &["429", "503"]),
            ("gone", &["410"]),
        ];
        for (expected, statuses) in all {
            for status in statuses {
                assert_eq!(kind(status), expected, "{status}");
            }
        }
    }

    /// RFC 9110, section 15.4: not every status of the class redirects.
    #[test]
    fn only_redirects_are_called_so() {
        for status in [300, 301, 302, 303, 307, 308] {
            let WebhookResult::Rejected(reason) = answer(status, &[]) else { panic!("{status}") };
            assert!(reason.ends_with("redirects are not followed"), "{reason}");
        }
        for (status, named) in [(304, "304 Not Modified"), (305, "305 Use Proxy"), (306, "306"), (399, "399")] {
            assert_eq!(answer(status, &[]), WebhookResult::Rejected(format!("the webhook answered {named}")));
        }
    }

    /// RFC 9110, section 10.2.3: a date or seconds.
    #[test]
    fn retry_after_is_taken_at_its_word() {
        let seconds = |count| Some(Duration::from_secs(count));
        for (values, expected) in [
            (&["7"][..], seconds(7)),
            (&["0120"], seconds(120)),
            (&["86400"], seconds(86_400)),
            // The three forms of section 5.6.7. The last two are obsolete, but a recipient must accept them.
            (&["Sun, 06 Nov 1994 08:49:37 GMT"], seconds(30)),
            (&["Sunday, 06-Nov-94 08:49:37 GMT"], seconds(30)),
            (&["Sun Nov  6 08:49:37 1994"], seconds(30)),
            (&["Mon, 07 Nov 1994 08:49:07 GMT"], seconds(86_400)),
            // A time in the past leaves the delay to the retry policy.
            (&["0"], None),
            (&["Sun, 06 Nov 1994 08:49:07 GMT"], None),
            (&["Sat, 05 Nov 1994 08:49:37 GMT"], None),
            (&["Thu, 01 Jan 1970 00:00:00 GMT"], None),
            (&["Sunday, 06-Nov-93 08:49:37 GMT"], None),
            // A hold without an end is limited.
            (&["999999999"], Some(MAX_HOLD)),
            (&["99999999999999999999999999999999"], Some(MAX_HOLD)),
            (&["Fri, 31 Dec 9999 23:59:59 GMT"], Some(MAX_HOLD)),
            // The strictest of several.
            (&["7", "Sun, 06 Nov 1994 08:49:37 GMT"], seconds(30)),
            // Malformed.
            (&[""], None),
            (&["-1"], None),
            (&["+5"], None),
            (&["1.5"], None),
            (&["5s"], None),
            (&["1994-11-06T08:49:37Z"], None),
            (&["Sun, 06 Nov 1994 08:49:37 +0100"], None),
            (&["Sun, 99 Nov 1994 08:49:37 GMT"], None),
        ] {
            for status in [429, 503] {
                let WebhookResult::Overloaded(_, after) = answer(status, values) else { panic!("{status}") };
                assert_eq!(after, expected, "{values:?}");
            }
            // Other temporary failures become holds only if they name a time.
            for status in [404, 408, 500, 502] {
                match answer(status, values) {
                    WebhookResult::Overloaded(_, after) => assert_eq!(after, expected, "{values:?}"),
                    other => {
                        assert!(matches!(other, WebhookResult::Failed(_)) && expected.is_none(), "{values:?} {other:?}")
                    }
                }
            }
        }
    }
}
