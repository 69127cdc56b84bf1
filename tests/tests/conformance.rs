//! CloudEvents conformance from the producer to the store and out again: the cases of `conformance/`, which re-express
//! the CloudEvents conformance suite and the specification's examples, and data that must pass unchanged.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says what it counted")]

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sandbus_tests::{Hook, Host, Setup, Webhook, eventually};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The files of cases, with the media type of their requests and the status of the responses.
const FILES: [(&str, &str, u16); 4] = [
    (include_str!("../conformance/events.json"), "application/cloudevents+json", 202),
    (include_str!("../conformance/invalid-events.json"), "application/cloudevents+json", 400),
    (include_str!("../conformance/batches.json"), "application/cloudevents-batch+json", 202),
    (include_str!("../conformance/http.json"), "", 202),
];

/// The cases of cloudevents/conformance, by file.
#[derive(Debug, Deserialize)]
struct Upstream {
    files: BTreeMap<String, Vec<String>>,
}

/// A file of cases.
#[derive(Debug, Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    groups: Vec<Group<'a>>,
}

/// Cases of one section.
#[derive(Debug, Deserialize)]
struct Group<'a> {
    section: String,
    /// The status of the response, if it differs from the file's.
    status: Option<u16>,
    #[serde(borrow)]
    cases: Vec<Case<'a>>,
}

/// A request and its expected result.
#[derive(Debug, Deserialize)]
struct Case<'a> {
    name: String,
    /// The case of cloudevents/conformance that this one re-expresses: the file, `#` and the name.
    upstream: Option<String>,
    /// The body in the JSON format. Without it, `headers` and `body` are the request's.
    #[serde(borrow)]
    json: Option<&'a RawValue>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    base64: Option<String>,
    /// The stored event, if it differs from `json`.
    #[serde(borrow)]
    stored: Option<&'a RawValue>,
    /// The request that a webhook in binary mode gets.
    delivered: Option<Delivered>,
}

/// A request to a webhook.
#[derive(Debug, Deserialize)]
struct Delivered {
    headers: BTreeMap<String, String>,
    body: Option<String>,
    base64: Option<String>,
}

fn bytes(text: Option<&String>, base64: Option<&String>) -> Vec<u8> {
    match (text, base64) {
        (_, Some(base64)) => BASE64_STANDARD.decode(base64).unwrap(),
        (text, None) => text.cloned().unwrap_or_default().into_bytes(),
    }
}

impl Case<'_> {
    fn send(&self, host: &Host, media_type: &str) -> sandbus_tests::Answer {
        let (headers, body) = match self.json {
            Some(json) => (vec![("content-type", media_type)], json.get().as_bytes().to_vec()),
            None => {
                let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                (headers.collect(), bytes(self.body.as_ref(), self.base64.as_ref()))
            }
        };
        host.send("POST", &host.url("/events"), &headers, &body)
    }

    /// The expected events.
    fn stored(&self) -> Vec<Members> {
        let text = self.stored.or(self.json).unwrap().get();
        match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(events) => events.into_iter().map(|event| expected(event.get())).collect(),
            Err(_) => vec![expected(text)],
        }
    }
}

/// The members of an event: attributes as values, and data as written.
type Members = BTreeMap<String, String>;

fn members(event: &str) -> Members {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(event).unwrap();
    let text = |name: &str, value: &RawValue| match name {
        "data" => value.get().to_owned(),
        _ => serde_json::from_str::<Value>(value.get()).unwrap().to_string(),
    };
    members.iter().map(|(name, value)| (name.clone(), text(name, value))).collect()
}

/// The expected members of an event. Null stands for an attribute that is not set.
fn expected(event: &str) -> Members {
    let mut members = members(event);
    members.retain(|name, value| name == "data" || value != "null");
    members
}

/// The events in the log, by source and id.
fn log(host: &Host) -> BTreeMap<(String, String), Members> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        events: Vec<Logged<'a>>,
    }
    #[derive(Deserialize)]
    struct Logged<'a> {
        #[serde(borrow)]
        event: &'a RawValue,
    }
    let answer = host.send("GET", &host.api_url("/events?limit=1000"), &[], b"");
    let page: Page<'_> = serde_json::from_str(&answer.body).unwrap();
    page.events.iter().map(|logged| members(logged.event.get())).map(|event| (identity(&event), event)).collect()
}

fn identity(event: &Members) -> (String, String) {
    (event["source"].clone(), event["id"].clone())
}

/// Sends the cases of a file. Returns the events expected in the log, and the webhook requests expected for them.
fn play(host: &Host, file: &str, media_type: &str, status: u16) -> (usize, Vec<(Members, Option<Delivered>)>) {
    let File { groups } = serde_json::from_str(file).unwrap();
    let (mut count, mut expected) = (0, Vec::new());
    for group in groups {
        for mut case in group.cases {
            let status = group.status.unwrap_or(status);
            let answer = case.send(host, media_type);
            assert_eq!(answer.status, status, "{}: {}: {}", group.section, case.name, answer.body);
            count += 1;
            if status != 202 {
                let code = answer.json()["code"].clone();
                assert!(code.is_string(), "{}: {}: {}", group.section, case.name, answer.body);
                continue;
            }
            let delivered = case.delivered.take();
            let mut stored = case.stored().into_iter();
            expected.extend(stored.next().map(|event| (event, delivered)));
            expected.extend(stored.map(|event| (event, None)));
        }
    }
    (count, expected)
}

fn subscribe(host: &Host, pattern: &str, webhook: &Webhook, secret: Option<&str>) {
    let target = json!({ "webhook": { "url": format!("http://{}/hook", webhook.address), "secret": secret } });
    let rules = json!({ "max_attempts": 1 });
    let name = if secret.is_some() { "signed" } else { "hook" };
    let wanted = json!({ "name": name, "pattern": pattern, "target": target, "rules": rules });
    let answer = host.admin_post("/subscriptions", wanted);
    assert_eq!(answer.status, 201, "{}", answer.body);
}

/// The delivery of an event, with attribute values as JSON strings.
fn delivery<'a>(hooks: &'a [Hook], event: &Members) -> &'a Hook {
    let plain = |name: &str| serde_json::from_str::<String>(&event[name]).unwrap();
    let decoded = |hook: &Hook, name: &str| {
        let value = hook.header(name).unwrap_or_default().as_bytes().to_vec();
        String::from_utf8(unescaped(&value)).unwrap()
    };
    let found = hooks.iter().find(|hook| match is_structured(hook) {
        true => identity(&members(&hook.body)) == identity(event),
        false => decoded(hook, "ce-id") == plain("id") && decoded(hook, "ce-source") == plain("source"),
    });
    assert!(found.is_some(), "the webhook got no {event:?}");
    found.unwrap()
}

fn is_structured(hook: &Hook) -> bool {
    hook.header("content-type").is_some_and(|media_type| media_type.starts_with("application/cloudevents+json"))
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    plain
}

#[test]
fn every_upstream_case_is_re_expressed() {
    let Upstream { files } = serde_json::from_str(include_str!("../conformance/upstream.json")).unwrap();
    let mut upstream = BTreeSet::new();
    for (file, names) in files {
        upstream.extend(names.iter().map(|name| format!("{file}#{name}")));
    }
    assert_eq!(upstream.len(), 68, "the table is complete");

    let groups = FILES.into_iter().flat_map(|(file, ..)| serde_json::from_str::<File<'_>>(file).unwrap().groups);
    let cases: Vec<_> = groups.flat_map(|group| group.cases).map(|case| case.upstream).collect();
    let covered: BTreeSet<_> = cases.iter().flatten().cloned().collect();
    assert_eq!(covered, upstream);
    assert_eq!(cases.iter().flatten().count(), covered.len(), "one case re-expresses each");
    let (covered, upstream, own) = (covered.len(), upstream.len(), cases.len() - covered.len());
    println!("conformance: {covered} of {upstream} upstream cases, {own} of our own");
}

#[test]
fn events_are_those_of_the_standard() {
    let host = Setup::new().start();
    let webhook = Webhook::start(&[204]);
    subscribe(&host, ">", &webhook, None);
    let (mut count, mut all) = (0, Vec::new());
    for (file, media_type, status) in FILES {
        let (played, expected) = play(&host, file, media_type, status);
        count += played;
        all.extend(expected);
    }
    assert_eq!(count, 173, "all of the cases were played");

    let log = log(&host);
    let identities: BTreeSet<_> = all.iter().map(|(event, _)| identity(event)).collect();
    assert_eq!(log.keys().cloned().collect::<BTreeSet<_>>(), identities, "and nothing else is stored");
    for (event, _) in &all {
        assert_eq!(&log[&identity(event)], event);
    }

    let hooks = eventually("all are delivered", || Some(webhook.received()).filter(|it| it.len() == identities.len()));
    for (event, delivered) in &all {
        let hook = delivery(&hooks, event);
        // Web Hooks 1.0.2, 2.1: a request with a payload has a media type.
        assert!(hook.header("content-type").is_some(), "{hook:?}");
        // An event without data comes in structured mode, since every request must have a payload.
        let has_data = event.contains_key("data") || event.contains_key("data_base64");
        assert_eq!(is_structured(hook), !has_data, "{hook:?}");
        if !has_data {
            assert_eq!(&members(&hook.body), event);
        }
        let Some(delivered) = delivered else { continue };
        for (name, value) in &delivered.headers {
            assert_eq!(hook.header(name), Some(value.as_str()), "{name} of {event:?}");
        }
        let body = bytes(delivered.body.as_ref(), delivered.base64.as_ref());
        assert_eq!(hook.bytes, body, "{event:?}: {}", hook.body);
    }
}

/// Numbers beyond a double, the order of members, a repeated member, and white space.
const EXACT: &str = r#"{"wei":123456789012345678901, "b":1,"a":0.10,"a":1e400}"#;

fn output(host: &Host, arguments: &[&str]) -> String {
    let output = host.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn data_leaves_by_every_way_as_it_came() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let host = Setup::new().start();
    let (webhook, signed) = (Webhook::start(&[400]), Webhook::start(&[204]));
    subscribe(&host, "exact.now", &webhook, None);
    subscribe(&host, "exact.now", &signed, Some(SECRET));
    output(&host, &["publish", "exact.now", EXACT, "--id", "exact"]);
    output(&host, &["publish", "exact.later", EXACT, "--id", "later", "--delay", "1h"]);

    let delivered = eventually("it is delivered", || webhook.received().pop());
    assert_eq!(delivered.body, EXACT);
    let delivered = eventually("it is delivered signed", || signed.received().pop());
    let data = format!(r#""data":{EXACT}"#);
    assert!(delivered.body.contains(&data), "{}", delivered.body);
    let letter = |path: &str| host.send("GET", &host.api_url(path), &[], b"").body;
    eventually("there is a dead letter", || letter("/dead-letters").contains("exact.now").then_some(()));
    for path in ["/events", "/events/exact", "/dead-letters", "/dead-letters/1", "/scheduled"] {
        assert!(letter(path).contains(&data), "{path}: {}", letter(path));
    }
    for arguments in [
        &["events"] as &[_],
        &["events", "--json"],
        &["events", "show", "exact"],
        &["events", "show", "exact", "--json"],
        &["events", "export"],
        &["dead-letters", "--json"],
        &["dead-letters", "show", "1"],
        &["schedules", "--json"],
    ] {
        let printed = output(&host, arguments);
        assert!(printed.contains(EXACT), "{arguments:?}: {printed}");
    }

    // The export equals the stored events, and can be published again.
    let exported = output(&host, &["events", "export"]);
    let again = exported.trim().replace("\"id\":\"exact\"", "\"id\":\"again\"");
    let headers = [("content-type", "application/cloudevents+json")];
    assert_eq!(host.send("POST", &host.url("/events"), &headers, again.as_bytes()).status, 202);
    assert_eq!(members(&output(&host, &["events", "export", "--last", "1"]))["data"], EXACT);
}
