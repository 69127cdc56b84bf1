//! Export by the OpenTelemetry Protocol, to a receiver that is built on the protocol's own crate; and Debian's Prometheus,
//! which scrapes the host and loads the alert rules.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

mod collector;
mod prometheus;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use sandbus_tests::{Host, Setup, TlsProxy, Webhook, eventually, put};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::collector::{Collector, Span};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CLIENT}-{flags}")
}

/// A host that exports to an address, soon after a span has ended.
fn exporting(setup: Setup, address: &str) -> Setup {
    setup
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
}

fn metrics(host: &Host, accepted: &str) -> String {
    let answer = host.send("GET", &host.admin_url("/metrics"), &[("accept", accepted)], b"");
    assert_eq!(answer.status, 200);
    answer.body
}

/// How many records of a signal are counted as lost.
fn lost(host: &Host, signal: &str) -> u64 {
    let line = format!("sandbus_telemetry_lost_total{{signal=\"{signal}\"}} ");
    let text = metrics(host, "text/plain");
    text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

/// The derived id of the span of a first attempt.
fn derived(source: &str, id: &str, subscription: (&str, &str), attempt: u32) -> String {
    let mut hash = Sha256::new();
    hash.update("attempt");
    let (attempt, zero) = (attempt.to_le_bytes(), [0; 8]);
    let parts: [&[u8]; 7] = [
        source.as_bytes(),
        id.as_bytes(),
        subscription.0.as_bytes(),
        subscription.1.as_bytes(),
        &attempt,
        &zero,
        &zero,
    ];
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn one_trace_leads_from_the_request_through_handlers_calls_and_webhooks() {
    let (collector, hook, upstream) = (Collector::start(), Webhook::start(&[204]), Webhook::start(&[200]));
    let setup = Setup::new().plugin("registration").plugin("registration-handler").plugin("caller");
    let setup = setup.sidecar("caller", &format!("[grants]\nhttp = [\"{}\"]\n", upstream.address));
    let host = exporting(setup, &collector.address).env("OTEL_SERVICE_NAME", "shop").start();
    let target = json!({ "webhook": { "url": format!("http://{}/hook?access_token=s3cret", hook.address) } });
    let webhook = json!({ "name": "hook", "pattern": "user.welcomed", "target": target });
    assert_eq!(host.admin_post("/subscriptions", webhook).status, 201);

    let parent = traceparent("01");
    let headers = [("content-type", "application/json"), ("traceparent", &parent), ("tracestate", "vendor=1")];
    let user = json!({ "name": "Ada", "email": "ada@example.com" }).to_string();
    let answer = host.send("POST", &host.url("/register"), &headers, user.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.body);
    let wanted = json!({
        "specversion": "1.0", "id": "c1", "source": "/test", "type": "call.wanted",
        "data": { "method": "GET", "url": format!("http://{}/path?token=s3cret", upstream.address) },
    });
    let headers = [("content-type", "application/cloudevents+json"), ("traceparent", &*parent)];
    let published = host.send("POST", &host.url("/events"), &headers, wanted.to_string().as_bytes());
    assert_eq!(published.status, 202, "{}", published.body);

    let names = [
        "POST /register",
        "process user.registered",
        "process user.welcomed",
        "POST",
        "POST /events",
        "process call.wanted",
        "GET",
    ];
    let trace = collector.trace(TRACE, names.len());
    eprintln!("{}", collector::show(&trace));
    let found: BTreeSet<_> = trace.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(found, BTreeSet::from(names));
    let [register, registered, welcomed, post, events, call, get] = names.map(|name| named(&trace, name));
    for (child, parent) in [
        (register, CLIENT),
        (registered, &register.id),
        (welcomed, &registered.id),
        (post, &welcomed.id),
        (events, CLIENT),
        (call, &events.id),
        (get, &call.id),
    ] {
        assert_eq!(child.parent, parent, "{}", child.name);
        assert!(child.start <= child.end && child.links.is_empty(), "{child:?}");
    }

    // The semantic conventions.
    for (span, kind, name, value) in [
        (register, "Server", "http.route", "/register"),
        (register, "Server", "http.response.status_code", "201"),
        (registered, "Consumer", "messaging.destination.name", "user.registered"),
        (registered, "Consumer", "messaging.operation.type", "process"),
        (registered, "Consumer", "cloudevents.event_source", "/plugins/registration"),
        (registered, "Consumer", "sandbus.outcome", "handled"),
        (welcomed, "Consumer", "messaging.destination.subscription.name", "operator/hook"),
        (post, "Client", "http.request.method", "POST"),
        (post, "Client", "http.response.status_code", "204"),
        (events, "Server", "messaging.operation.type", "send"),
        (get, "Client", "server.address", "127.0.0.1"),
    ] {
        let found = span.attributes.get(name).map(String::as_str);
        assert_eq!((span.kind.as_str(), found), (kind, Some(value)), "{}: {name}", span.name);
    }
    assert!(!format!("{trace:?}").contains("s3cret"), "{trace:?}");
    assert_eq!(collector.resource()["service.name"], "shop");

    // The ids are derived, and other services continue the trace.
    let event_id = answer.json()["event_id"].as_str().unwrap().to_owned();
    let owner = ("registration-handler", "user_registered");
    assert_eq!(registered.id, derived("/plugins/registration", &event_id, owner, 1));
    for (received, span) in [(&hook.received()[0], post), (&upstream.received()[0], get)] {
        assert_eq!(received.header("traceparent"), Some(&*format!("00-{TRACE}-{}-01", span.id)));
    }
    assert_eq!(hook.received()[0].header("tracestate"), Some("vendor=1"));

    // The log lines of the handler are those of its span.
    let line = eventually("the line of the handler", || collector.log("Welcome, Ada!"));
    assert_eq!((line.trace.as_str(), line.span.as_str()), (TRACE, registered.id.as_str()));
    assert_eq!((line.severity.as_str(), line.attributes["plugin"].as_str()), ("INFO", "registration-handler"));
    assert_eq!(host.wait_for_log(&["Welcome, Ada!"])["trace_id"], TRACE);
}

fn named<'a>(trace: &'a [Span], name: &str) -> &'a Span {
    trace.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {trace:?}"))
}

#[test]
fn spans_and_log_records_of_a_component_belong_to_the_trace_of_its_invocation() {
    let collector = Collector::start();
    let setup = Setup::new().plugin("traced").sidecar("traced", "routes = [\"GET /traced\"]\n");
    let host = exporting(setup, &collector.address).start();
    let headers = [("traceparent", &*traceparent("01"))];
    assert_eq!(host.send("GET", &host.url("/traced"), &headers, b"").status, 204);

    let trace = collector.trace(TRACE, 2);
    let (request, own) = (named(&trace, "GET /traced"), named(&trace, "count the shelves"));
    assert_eq!((own.parent.as_str(), own.id.as_str()), (request.id.as_str(), "00000000000000a1"));
    assert_eq!((own.kind.as_str(), own.error.as_deref()), ("Client", Some("one is empty")));
    assert_eq!(own.attributes["shelf"], "7");
    let line = eventually("the log record", || collector.log("no bread"));
    assert_eq!((line.trace.as_str(), line.severity.as_str()), (TRACE, "WARN"));
    let logged = host.wait_for_log(&["no bread shelf=7"]);
    assert_eq!((&logged["trace_id"], &logged["context"]), (&json!(TRACE), &json!("shelves")));

    // Without a sampled trace, the span goes nowhere, and the log line stays.
    assert_eq!(host.send("GET", &host.url("/traced"), &[("traceparent", &*traceparent("00"))], b"").status, 204);
    assert_eq!(collector.spans().iter().filter(|span| span.name == "count the shelves").count(), 1);
}

#[test]
fn a_collector_is_reached_over_tls_if_its_certificate_is_trusted() {
    let register = |host: &Host| {
        let headers = [("content-type", "application/json"), ("traceparent", &*traceparent("01"))];
        let user = json!({ "name": "Ada", "email": "ada@example.com" }).to_string();
        assert_eq!(host.send("POST", &host.url("/register"), &headers, user.as_bytes()).status, 201);
    };
    let collector = Collector::start();
    let proxy = TlsProxy::start(&collector.address);
    let exporting = |setup: Setup| {
        let setup = exporting(setup.plugin("registration"), &collector.address);
        setup.env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://{}", proxy.address))
    };
    let host = exporting(Setup::new()).start();
    register(&host);
    eventually("spans are lost", || (lost(&host, "traces") > 0).then_some(()));
    assert!(collector.spans().is_empty(), "nobody vouches for the certificate");
    drop(host);

    let setup = exporting(Setup::new());
    let trusted = setup.path().join("collector.pem");
    put(&trusted, proxy.certificate.as_bytes());
    let host = setup.env("OTEL_EXPORTER_OTLP_CERTIFICATE", trusted.to_str().unwrap()).start();
    register(&host);
    assert_eq!(collector.trace(TRACE, 1)[0].name, "POST /register");
}

#[test]
fn each_attempt_has_a_span_and_metrics_have_exemplars() {
    let collector = Collector::start();
    let host = exporting(Setup::new().plugin("flaky"), &collector.address).start();
    let event = json!({ "type": "flaky.job", "id": "j1", "data": {}, "traceparent": traceparent("01") });
    assert_eq!(host.publish_event("/events", event).status, 202);
    let mut trace = collector.trace(TRACE, 4);
    trace.retain(|span| span.name == "process flaky.job");
    trace.sort_by_key(|span| span.attributes["sandbus.attempt"].clone());
    let ids: Vec<_> = trace.iter().map(|span| span.id.clone()).collect();
    assert_eq!(ids, [1, 2, 3].map(|attempt| derived("/test", "j1", ("flaky", "job"), attempt)));
    let outcomes: Vec<_> = trace.iter().map(|span| span.attributes["sandbus.outcome"].as_str()).collect();
    assert_eq!(outcomes, ["retry", "retry", "handled"]);
    let errors: Vec<_> = trace.iter().map(|span| span.error.as_deref()).collect();
    assert_eq!(errors, [Some("attempt 1 is not good enough"), Some("attempt 2 is not good enough"), None]);
    // The published event continues the trace of the attempt that succeeded.
    let done = host.events_of("flaky.done");
    assert_eq!(done[0]["traceparent"], format!("00-{TRACE}-{}-01", ids[2]));

    let (point, exemplar) = eventually("an exemplar", || {
        let point = collector.histogram("sandbus.handler", "flaky/job").filter(|point| point.count == 3)?;
        point.exemplar.clone().map(|exemplar| (point, exemplar))
    });
    assert_eq!((point.unit.as_str(), exemplar.0.as_str()), ("s", TRACE));
    assert!(ids.contains(&exemplar.1), "{exemplar:?}");
    assert_eq!(collector.sum("sandbus.attempts", &[("subscription", "flaky/job"), ("outcome", "retry")]), Some(2.0));
    let open = metrics(&host, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(open.contains(&format!("# {{trace_id=\"{TRACE}\"")) && open.ends_with("# EOF\n"), "{open}");
    assert!(!metrics(&host, "text/plain").contains("trace_id"));
}

#[test]
fn an_event_that_waited_for_long_starts_a_trace_with_a_link() {
    let collector = Collector::start();
    let host = exporting(Setup::new().plugin("flaky"), &collector.address).start();
    // As an event that a host has delayed, and forwarded after its delay.
    let delayed = json!({
        "type": "flaky.job", "id": "j1", "data": {}, "traceparent": traceparent("01"), "tracestate": "sandbus=t1000",
    });
    assert_eq!(host.publish_event("/events", delayed).status, 202);
    let id = derived("/test", "j1", ("flaky", "job"), 3);
    let last = eventually("the last attempt", || collector.spans().into_iter().find(|span| span.id == id));
    assert_eq!((last.parent.as_str(), &last.links[..]), ("", &[(TRACE.to_owned(), CLIENT.to_owned())][..]));
    assert_ne!(last.trace, TRACE);
    let done = host.events_of("flaky.done");
    assert_eq!(done[0]["traceparent"], format!("00-{}-{id}-01", last.trace));
}

#[test]
fn a_trace_that_is_not_sampled_leaves_nothing_and_stays_so() {
    let (collector, upstream) = (Collector::start(), Webhook::start(&[200]));
    let setup = Setup::new().plugin("caller").plugin("flaky");
    let setup = setup.sidecar("caller", &format!("[grants]\nhttp = [\"{}\"]\n", upstream.address));
    let host = exporting(setup, &collector.address).start();
    let data = json!({ "method": "GET", "url": format!("http://{}/", upstream.address) });
    let call = json!({ "type": "call.wanted", "id": "c1", "data": data, "traceparent": traceparent("00") });
    assert_eq!(host.publish_event("/events", call).status, 202);
    host.wait_until_idle();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    let sampled = eventually("the sampled trace", || {
        let spans = collector.spans();
        spans
            .iter()
            .any(|span| span.attributes.get("sandbus.outcome").is_some_and(|it| it == "handled"))
            .then_some(spans)
    });
    assert!(sampled.iter().all(|span| span.trace != TRACE), "{sampled:?}");
    assert_eq!(upstream.received()[0].header("traceparent"), Some(&*traceparent("00")));
    assert_eq!(host.events_of("call.answered")[0]["traceparent"], traceparent("00"));
}

#[test]
fn nothing_is_exported_or_added_without_the_variables() {
    let host = Setup::new().plugin("flaky").start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    host.wait_until_idle();
    assert!(host.events_of("flaky.job")[0]["traceparent"].is_null());
    assert!(host.events_of("flaky.done")[0]["traceparent"].is_null());
    assert!(!metrics(&host, "text/plain").contains("sandbus_telemetry_lost_total{"));
}

#[test]
fn a_variable_that_cannot_be_used_is_named_at_the_start() {
    for (name, value, expected) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent.pem", "/nonexistent.pem"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_traceidratio"),
    ] {
        let setup = exporting(Setup::new(), "127.0.0.1:9").env(name, value);
        let log = setup.start_refused();
        assert!(log.contains(name) && log.contains(expected), "{log}");
    }
}

#[test]
fn a_collector_that_hangs_delays_nothing() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hanging.local_addr().unwrap().to_string();
    let setup = exporting(Setup::new().plugin("flaky"), &address);
    let setup = setup.env("OTEL_BSP_MAX_QUEUE_SIZE", "20").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10");
    let host = setup.env("OTEL_BLRP_MAX_QUEUE_SIZE", "20").start();
    let started = Instant::now();
    for number in 0..100 {
        assert_eq!(host.publish("flaky.job", &format!("j{number}"), json!({})).status, 202);
    }
    host.wait_until_idle();
    let took = started.elapsed();
    // A request to the collector would take ten seconds.
    assert!(took < Duration::from_secs(9), "{took:?}");
    // 400 spans end, and at most 30 are in the queue or in flight.
    eventually("the loss is counted", || (lost(&host, "traces") >= 370).then_some(()));
    eventually("log records are lost, too", || (lost(&host, "logs") > 0).then_some(()));
    let _ = host.wait_for_log(&["telemetry was lost", "\"signal\":\"traces\"", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    let stopping = Instant::now();
    let (is_success, log) = host.terminate();
    let took = stopping.elapsed();
    // The grace period is ten seconds.
    assert!(is_success && took < Duration::from_secs(9), "{took:?}");
    let reports = log.lines().filter(|line| line.contains("telemetry was lost") && line.contains("\"traces\"")).count();
    assert!(reports <= 2, "once, and once at the end: {log}");
    drop(hanging);
}

#[test]
fn a_collector_that_comes_back_gets_what_waited() {
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let host = exporting(Setup::new().plugin("flaky"), &address.to_string()).start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    host.wait_until_idle();
    let collector = Collector::start_at(address);
    let id = derived("/test", "j1", ("flaky", "job"), 3);
    eventually("the span", || collector.spans().into_iter().find(|span| span.id == id));
    assert_eq!(lost(&host, "traces"), 0);
    // An answer 503 is repeated, too.
    collector.answer(503);
    assert_eq!(host.publish("flaky.job", "j2", json!({})).status, 202);
    eventually("a refused request", || (collector.refused() > 0).then_some(()));
    collector.answer(200);
    let id = derived("/test", "j2", ("flaky", "job"), 3);
    eventually("the span", || collector.spans().into_iter().find(|span| span.id == id));
    assert_eq!(lost(&host, "traces"), 0);
}

#[test]
fn the_last_spans_are_exported_at_the_end() {
    let collector = Collector::start();
    let setup = exporting(Setup::new().plugin("flaky"), &collector.address).env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let host = setup.start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    host.wait_until_idle();
    assert!(collector.spans().is_empty());
    assert!(host.terminate().0);
    assert_eq!(collector.spans().len(), 4, "{:?}", collector.spans());
}
