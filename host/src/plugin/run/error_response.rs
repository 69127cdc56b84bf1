//! The failures that HTTP handlers report in their responses.

use serde::Deserialize;

use super::call_failure::REASON_CHARACTERS;
use crate::outcome::{Cause, Failure};

/// The code of the problem with which an SDK responds after an exception. The reason is in the log only.
const HANDLER_FAILED: &str = "handler-failed";
/// The text that separates the subject (`the handler` or the route) from the reason in the log line of an SDK.
const FAILED: &str = " failed: ";

/// The members of a problem (RFC 9457) that say why a request failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemBody {
    code: Option<String>,
    detail: Option<String>,
}

/// The failure that an error response with a status of 500 or more reports. `reported` is the cause that the handler
/// has reported, and `last_error` the last error that it has logged.
pub(super) fn failure_in(
    status: u16,
    body: &[u8],
    reported: Option<Cause>,
    last_error: Option<String>,
) -> Option<Failure> {
    if status < 500 {
        return None;
    }
    let ProblemBody { code, detail } = serde_json::from_slice(body).unwrap_or_default();
    let is_exception = code.as_deref() == Some(HANDLER_FAILED);
    let cause = match status {
        _ if is_exception => reported.unwrap_or(Cause::Exception),
        503 => Cause::Retry,
        _ => Cause::Rejected,
    };
    // The problem of an exception hides the reason from the client.
    let reason = if is_exception { last_error.or(detail) } else { detail.or(last_error) };
    let reason = reason.unwrap_or_else(|| format!("the handler responded with {status}"));
    let reason = without_subject(&reason);
    Some(Failure { cause, reason: reason.chars().take(REASON_CHARACTERS).collect() })
}

/// The reason without its subject (the handler or the route), because the record already names the subject.
fn without_subject(reason: &str) -> &str {
    match reason.split_once(FAILED) {
        Some((subject, rest)) if subject == "the handler" || subject.starts_with("route ") => rest,
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_tells_the_cause_and_the_reason() {
        let failure = |status, body: &str, reported, logged: Option<&str>| {
            let failure = failure_in(status, body.as_bytes(), reported, logged.map(str::to_owned));
            failure.map(|Failure { cause, reason }| (cause, reason))
        };
        let expected = |cause, reason: &str| Some((cause, reason.to_owned()));
        let hidden = r#"{"code":"handler-failed","detail":"see the log"}"#;
        let own = r#"{"code":"no-stock","detail":"no stock"}"#;
        let logged = Some("the handler failed: no row");
        assert_eq!(failure(500, hidden, None, logged), expected(Cause::Exception, "no row"));
        assert_eq!(failure(500, hidden, Some(Cause::Request), logged), expected(Cause::Request, "no row"));
        let route = Some("route POST /a failed: TypeError: x failed: y");
        assert_eq!(failure(500, hidden, None, route), expected(Cause::Exception, "TypeError: x failed: y"));
        let other = Some("the disk failed: no space");
        assert_eq!(failure(500, hidden, None, other), expected(Cause::Exception, "the disk failed: no space"));
        assert_eq!(failure(500, hidden, None, None), expected(Cause::Exception, "see the log"));
        assert_eq!(failure(503, own, None, Some("unrelated")), expected(Cause::Retry, "no stock"));
        assert_eq!(failure(502, "oops", None, Some("no peer")), expected(Cause::Rejected, "no peer"));
        assert_eq!(failure(500, "", None, None), expected(Cause::Rejected, "the handler responded with 500"));
        assert_eq!(failure(422, own, None, logged), None);
        let long = "x".repeat(REASON_CHARACTERS + 1);
        assert_eq!(failure(500, hidden, None, Some(&long)).unwrap().1.len(), REASON_CHARACTERS);
    }
}
