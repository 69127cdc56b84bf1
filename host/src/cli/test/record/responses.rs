//! What other services answered to the requests of handlers, as stubs of a scenario.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{toml_parts, toml_value};
use crate::api::{
    BodyEndView, CallView, ExchangeView, HeaderView, RecordedAttemptPage, RecordedAttemptQuery, RecordedAttemptView,
};
use crate::cli::client::Client;
use crate::cli::paging::fetch;
use crate::printable;

/// Headers that depend on the connection or the time, or that follow from the body.
const LEFT_OUT: [&str; 10] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// What the ledger has of the requests that handlers sent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Responses {
    /// The stubs, in order.
    stubs: Vec<Stub>,
    /// Whether the ledger has attempts.
    has_attempts: bool,
    /// Whether the ledger has second attempts.
    pub(super) has_retries: bool,
    /// How many responses are not recorded.
    missing: u64,
    /// Requests that were refused or failed, and are no stubs.
    unanswered: BTreeSet<String>,
    /// The placeholders for configuration values, by plugin.
    pub(super) config: BTreeMap<String, BTreeMap<String, String>>,
}

/// A stub, and how many requests in a row got this answer.
#[derive(Debug, PartialEq)]
struct Stub {
    answer: Answer,
    count: u64,
    /// Whether the same request got another answer later.
    has_successor: bool,
}

/// The answer to a request.
#[derive(Debug, PartialEq)]
struct Answer {
    request: String,
    response: Result<(u16, Vec<HeaderView>), String>,
    body: Option<String>,
    body_base64: Option<String>,
    is_truncated: bool,
}

/// Reads what the ledger has of the attempts at events, each with its source and id.
pub(super) async fn read(client: &Client, events: &BTreeSet<(String, String)>) -> anyhow::Result<Responses> {
    let mut attempts = Vec::new();
    for (source, id) in events {
        let query = RecordedAttemptQuery {
            event: Some(id.clone()),
            source: Some(source.clone()),
            exchanges: Some(true),
            ..RecordedAttemptQuery::default()
        };
        let page = fetch::<RecordedAttemptPage>(client, &query, None, usize::MAX).await?;
        // The newest attempt comes first.
        attempts.extend(page.value().attempts.iter().rev().cloned());
    }
    // A scenario makes neither replays nor redrives.
    attempts.retain(|attempt| !attempt.replayed && attempt.redriven_at.is_none());
    attempts.sort_by(|one, other| one.at.cmp(&other.at));
    Ok(Responses::of(&attempts))
}

impl Responses {
    /// The responses of attempts, oldest first.
    fn of(attempts: &[RecordedAttemptView]) -> Self {
        let has_retries = attempts.iter().any(|attempt| attempt.attempt > 1);
        let mut responses = Self { has_attempts: !attempts.is_empty(), has_retries, ..Self::default() };
        for attempt in attempts {
            let plugin = attempt.subscription.split_once('/').map_or("", |(owner, _)| owner);
            responses.missing += attempt.usage.calls_omitted;
            attempt.usage.calls.iter().for_each(|call| responses.add(plugin, call));
        }
        responses
    }

    fn add(&mut self, plugin: &str, call: &CallView) {
        let Some(exchange) = &call.exchange else {
            match &call.error {
                Some(error) => {
                    let (method, host) = (&call.method, &call.host);
                    self.unanswered.insert(format!("{method} to {host} got no response: {}", printable::line(error)));
                }
                None => self.missing += 1,
            }
            return;
        };
        if !exchange.placeholders.is_empty() {
            self.config.entry(plugin.to_owned()).or_default().extend(exchange.placeholders.clone());
        }
        self.add_answer(Answer::of(call, exchange));
    }

    fn add_answer(&mut self, answer: Answer) {
        let last = self.stubs.iter_mut().rev().find(|stub| stub.answer.request == answer.request);
        match last {
            Some(last) if last.answer == answer => last.count += 1,
            Some(last) => {
                last.has_successor = true;
                self.stubs.push(Stub { answer, count: 1, has_successor: false });
            }
            None => self.stubs.push(Stub { answer, count: 1, has_successor: false }),
        }
    }

    /// Whether responses are missing, or may be missing.
    pub(super) fn are_incomplete(&self) -> bool {
        !self.has_attempts || self.missing > 0
    }

    /// Whether there are responses.
    pub(super) fn has_some(&self) -> bool {
        !self.stubs.is_empty()
    }

    /// The lines of a scenario: the stubs, and comments about what they do not express.
    pub(super) fn to_toml(&self) -> String {
        let mut toml: String = self.unanswered.iter().map(|request| format!("# {request}\n")).collect();
        if self.has_some() {
            toml.push_str(&format!("given.http = [\n{}]\n", self.stubs.iter().map(Stub::to_toml).collect::<String>()));
        }
        toml
    }
}

impl Answer {
    fn of(call: &CallView, exchange: &ExchangeView) -> Self {
        let response = match call.status {
            // A stub has a whole response or none.
            Some(_) if exchange.body_end == BodyEndView::Failed => Err("the response ended within its body".to_owned()),
            Some(status) => Ok((status, kept_headers(&exchange.headers))),
            None => Err(call.error.clone().unwrap_or_default()),
        };
        let has_response = response.is_ok();
        Self {
            request: format!("{} {}", call.method, exchange.url),
            response,
            body: exchange.body.clone().filter(|body| has_response && !body.is_empty()),
            body_base64: exchange.body_base64.clone().filter(|_| has_response),
            is_truncated: has_response && exchange.body_end == BodyEndView::Truncated,
        }
    }

    /// The body as JSON, in TOML. None if the plugin would not get the same bytes.
    fn json(&self, headers: &[HeaderView]) -> Option<String> {
        let is_json = headers.iter().any(|header| header.name == "content-type" && header.value.contains("json"));
        let body = self.body.as_ref().filter(|_| is_json)?;
        let text = toml_value(&serde_json::from_str(body).ok()?)?;
        let read: BTreeMap<String, Value> = toml::from_str(&format!("json = {text}")).ok()?;
        let sent = read["json"].to_string();
        (sent == *body).then_some(text)
    }
}

/// The headers that a handler may depend on.
fn kept_headers(headers: &[HeaderView]) -> Vec<HeaderView> {
    headers.iter().filter(|header| !LEFT_OUT.contains(&header.name.as_str())).cloned().collect()
}

impl Stub {
    fn to_toml(&self) -> String {
        let Answer { request, response, body, body_base64, is_truncated } = &self.answer;
        let mut members = vec![("request", text(request))];
        if self.has_successor {
            members.push(("times", self.count.to_string()));
        }
        let mut notes = Vec::new();
        match response {
            Err(error) => {
                notes.push("There was no response.".to_owned());
                members.push(("error", text(error)));
            }
            Ok((status, headers)) => {
                members.push(("status", status.to_string()));
                let json = self.answer.json(headers);
                let (headers, repeated) = merged(headers, json.is_some());
                notes.extend(repeated.map(|name| format!("The response had several `{name}`; this is the last one.")));
                if !headers.is_empty() {
                    members.push(("headers", toml_value(&headers.into()).unwrap_or_default()));
                }
                members.extend(json.map(|json| ("json", json)).or(body.as_ref().map(|body| ("body", text(body)))));
            }
        }
        members.extend(body_base64.as_ref().map(|body| ("body_base64", text(body))));
        if *is_truncated {
            notes.push("The response was longer than what the host records; complete it.".to_owned());
        }
        let notes: String = notes.iter().map(|note| format!("    # {note}\n")).collect();
        format!("{notes}    {{ {} }},\n", toml_parts(&members))
    }
}

fn text(text: &str) -> String {
    toml_value(&json!(text)).unwrap_or_default()
}

/// The headers by name, without the content type that `json` implies. Values of one name are joined (RFC 9110, section
/// 5.3), except cookies: only the last one is kept. Also returns the name of the cookies' header, if it is repeated.
fn merged(headers: &[HeaderView], has_json: bool) -> (Map<String, Value>, Option<&'static str>) {
    const COOKIE: &str = "set-cookie";
    let mut merged: BTreeMap<&str, String> = BTreeMap::new();
    let mut repeated = None;
    for HeaderView { name, value } in headers {
        if has_json && name == "content-type" && value == "application/json" {
            continue;
        }
        match merged.get_mut(name.as_str()) {
            Some(earlier) if name == COOKIE => {
                repeated = Some(COOKIE);
                earlier.clone_from(value);
            }
            Some(earlier) => earlier.push_str(&format!(", {value}")),
            None => drop(merged.insert(name, value.clone())),
        }
    }
    (merged.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(), repeated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::InvocationUsageView;

    fn call(url: &str, status: Option<u16>, body: &str) -> CallView {
        let headers = [("content-type", "application/json"), ("content-length", "7"), ("x-a", "1"), ("x-a", "2")];
        let header = |(name, value): (&str, &str)| HeaderView { name: name.to_owned(), value: value.to_owned() };
        let exchange = ExchangeView {
            url: url.to_owned(),
            headers: headers.map(header).to_vec(),
            body: Some(body.to_owned()),
            body_end: BodyEndView::Complete,
            ..ExchangeView::default()
        };
        let error = status.is_none().then(|| "the host cannot be reached".to_owned());
        CallView { method: "POST".to_owned(), status, error, exchange: Some(exchange), ..CallView::default() }
    }

    fn of(calls: Vec<CallView>) -> Responses {
        let usage = InvocationUsageView { calls, ..InvocationUsageView::default() };
        let subscription = "mailer/welcome".to_owned();
        Responses::of(&[RecordedAttemptView { subscription, usage, ..RecordedAttemptView::default() }])
    }

    #[test]
    fn a_retry_is_noticed_however_fast_it_was() {
        let attempt = |attempt| RecordedAttemptView { attempt, ..RecordedAttemptView::default() };
        assert!(!Responses::of(&[attempt(1), attempt(1)]).has_retries);
        assert!(Responses::of(&[attempt(1), attempt(2)]).has_retries);
    }

    #[test]
    fn answers_that_change_are_replayed_in_order() {
        let (one, other) = ("http://a/1", "http://a/2");
        let responses = of(vec![
            call(one, None, ""),
            call(one, Some(503), ""),
            call(other, Some(200), "no JSON"),
            call(one, Some(503), ""),
            call(one, Some(200), "{\"a\":1}"),
            call(one, Some(200), "{\"a\":1}"),
        ]);
        assert!(!responses.are_incomplete());
        let expected = r#"given.http = [
    # There was no response.
    { request = "POST http://a/1", times = 1, error = "the host cannot be reached" },
    { request = "POST http://a/1", times = 2, status = 503, headers = { content-type = "application/json", x-a = "1, 2" } },
    { request = "POST http://a/2", status = 200, headers = { content-type = "application/json", x-a = "1, 2" }, body = "no JSON" },
    { request = "POST http://a/1", status = 200, headers = { x-a = "1, 2" }, json = { a = 1 } },
]
"#;
        assert_eq!(responses.to_toml(), expected);
    }

    #[test]
    fn a_body_that_json_in_toml_would_change_is_a_text() {
        for body in ["{ \"a\": 1 }", "{\"a\":null}", "{\"a\":18446744073709551615}", "{"] {
            let toml = of(vec![call("http://a/", Some(200), body)]).to_toml();
            assert!(toml.contains(&format!("body = {}", text(body))), "{toml}");
        }
    }

    #[test]
    fn what_is_not_recorded_is_told() {
        assert!(Responses::of(&[]).are_incomplete());
        assert!(of(vec![CallView { status: Some(200), ..CallView::default() }]).are_incomplete());
        let refused = CallView {
            method: "GET".to_owned(),
            host: "a".to_owned(),
            error: Some("not granted\n".to_owned()),
            ..CallView::default()
        };
        let responses = of(vec![refused]);
        assert!(!responses.are_incomplete() && !responses.has_some());
        assert_eq!(responses.to_toml(), format!("# GET to a got no response: {}\n", printable::line("not granted\n")));

        let mut truncated = call("http://a/", Some(200), "");
        let exchange = truncated.exchange.as_mut().unwrap();
        exchange.body_end = BodyEndView::Truncated;
        (exchange.body, exchange.body_base64) = (None, Some("/w==".to_owned()));
        exchange.placeholders.insert("key".to_owned(), "hidden-key".to_owned());
        let responses = of(vec![truncated]);
        let toml = responses.to_toml();
        assert!(toml.contains("# The response was longer") && toml.contains("body_base64 = \"/w==\""), "{toml}");
        assert_eq!(responses.config["mailer"]["key"], "hidden-key");
    }
}
