//! The permissions of producers over HTTP, of operators and of plugins.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sandbus_tests::{Answer, Host, Setup};
use serde_json::{Value, json};

fn event(id: &str, source: &str, event_type: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": source, "type": event_type, "data": {} })
}

fn post(host: &Host, url: &str, token: Option<&str>, events: &Value) -> Answer {
    let kind = if events.is_array() { "application/cloudevents-batch+json" } else { "application/cloudevents+json" };
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", kind)];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    host.send("POST", url, &headers, events.to_string().as_bytes())
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the file is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}

#[test]
fn nobody_publishes_over_http_until_it_is_configured() {
    for config in ["[ingress]\n", "[ingress]\nevents = \"off\"\n"] {
        let host = Setup::new().config(config).start();
        let refused = host.publish("order.placed", "1", json!({}));
        assert_eq!((refused.status, refused.problem()), (403, "ingress-off".to_owned()));
        assert!(refused.body.contains("[ingress] events"), "it says what to do: {}", refused.body);
        // The body of an unauthorized request is not parsed.
        let garbage = host.send("POST", &host.url("/events"), &[("content-type", "text/plain")], b"x");
        assert_eq!(garbage.problem(), "ingress-off");
        let operator = host.cli(&["publish", "order.placed", "{}"]);
        assert!(operator.status.success(), "operators publish at the admin interface");
        assert_eq!(host.events_of("order.placed").len(), 1);
    }
}

#[test]
fn producers_publish_what_they_may_with_their_own_tokens() {
    let setup = Setup::new();
    private(&setup.path().join("shop.token"), "shop-token-of-today\nshop-token-of-tomorrow\n");
    private(&setup.path().join("bank.token"), "bank-token-of-today\n");
    let config = "[[ingress.events]]\ntypes = [\"order.>\"]\nsources = [\"/shop\"]\ntoken_file = \"shop.token\"\n
        [[ingress.events]]\ntypes = [\"payment.>\"]\nsources = [\"/bank/*\"]\ntoken_file = \"bank.token\"\nreplies = true\n";
    let host = setup.config(config).start();
    let outcome = |token: Option<&str>, event: &Value| {
        let answer = post(&host, &host.url("/events"), token, event);
        if answer.status == 202 { "accepted".to_owned() } else { format!("{} {}", answer.status, answer.problem()) }
    };
    let (shop, next, bank) = ("shop-token-of-today", "shop-token-of-tomorrow", "bank-token-of-today");
    let order = event("1", "/shop", "order.placed");
    assert_eq!(outcome(None, &order), "401 token-missing");
    assert_eq!(outcome(Some("guess"), &order), "401 token-unknown");
    assert_eq!(outcome(Some(shop), &order), "accepted");
    assert_eq!(outcome(Some(next), &event("2", "/shop", "order.placed")), "accepted");
    assert_eq!(outcome(Some(bank), &order), "403 type-not-allowed");
    assert_eq!(outcome(Some(bank), &event("3", "/shop", "payment.captured")), "403 source-not-allowed");
    assert_eq!(outcome(Some(bank), &event("3", "/bank/7", "payment.captured")), "accepted");
    let mut reply = event("4", "/bank/7", "payment.captured");
    reply["correlationid"] = "1".into();
    assert_eq!(outcome(Some(bank), &reply), "accepted");
    let mut joins = event("5", "/shop", "order.placed");
    joins["correlationid"] = "1".into();
    assert_eq!(outcome(Some(shop), &joins), "403 correlation-not-allowed");
    let listens = post(&host, &host.url("/events?reply=%3E&timeout=1s"), Some(bank), &reply);
    assert_eq!((listens.status, listens.problem()), (403, "reply-not-allowed".to_owned()));
}

#[test]
fn a_token_file_that_everybody_can_read_is_refused_at_the_start() {
    let setup = Setup::new();
    private(&setup.path().join("t"), "a-token-of-some-length\n");
    std::fs::set_permissions(setup.path().join("t"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = "[ingress]\nevents = { types = [\">\"], sources = [\"*\"], token_file = \"t\" }\n";
    let said = setup.config(config).start_refused();
    assert!(said.contains("chmod 600"), "{said}");
}

/// An event that only the host may publish is refused on every path, and leaves no trace.
#[test]
fn forged_events_are_refused_everywhere() {
    let host = Setup::new().start();
    let with = |name: &str| {
        let mut event = event("1", "/shop", "order.placed");
        event[name] = "1".into();
        event
    };
    let forged = [
        (event("1", "/plugins/payments", "payment.captured"), "reserved-source", "reserved-source"),
        (event("1", "/PLUGINS/payments", "payment.captured"), "reserved-source", "reserved-source"),
        (event("1", "/%2570lugins/payments", "payment.captured"), "reserved-source", "reserved-source"),
        (event("1", "/./plugins/payments", "payment.captured"), "reserved-source", "reserved-source"),
        (event("1", "//plugins//payments", "payment.captured"), "reserved-source", "reserved-source"),
        (event("1", "/shop", "sandbus.plugin.loaded"), "reserved-type", "reserved-type"),
        (event("1", "/shop", "schedule.mailer.digest"), "reserved-type", ""),
        (with("causationid"), "reserved-attribute", "reserved-attribute"),
        (with("hops"), "reserved-attribute", "reserved-attribute"),
        (with("authid"), "reserved-attribute", "reserved-attribute"),
    ];
    for (event, producer, operator) in &forged {
        let answer = post(&host, &host.url("/events"), None, event);
        assert_eq!((answer.status, answer.problem()), (403, (*producer).to_owned()), "{event}");
        let answer = post(&host, &host.url("/events?delay=1h"), None, event);
        assert_eq!((answer.status, answer.problem()), (403, (*producer).to_owned()), "{event}");
        let batch = json!([self::event("good", "/shop", "order.placed"), event]);
        let answer = post(&host, &host.url("/events"), None, &batch);
        assert_eq!((answer.status, answer.problem()), (403, (*producer).to_owned()), "{event}");
        assert!(answer.body.contains("event 1 of the batch"), "{}", answer.body);
        if !operator.is_empty() {
            let answer = post(&host, &host.api_url("/events"), None, event);
            assert_eq!((answer.status, answer.problem()), (403, (*operator).to_owned()), "{event}");
        }
    }
    // The binary mode decodes percent-encoded headers.
    let headers = [("ce-id", "1"), ("ce-source", "/shop"), ("ce-type", "schedul%65.x"), ("ce-specversion", "1.0")];
    assert_eq!(host.send("POST", &host.url("/events"), &headers, b"").problem(), "reserved-type");
    assert_eq!(host.admin("/events")["events"].as_array().map(Vec::len), Some(0));
    assert_eq!(host.admin("/scheduled")["scheduled"].as_array().map(Vec::len), Some(0));
    // An operator may trigger a schedule by hand.
    assert!(host.cli(&["publish", "schedule.mailer.digest"]).status.success());
    let refused = host.cli(&["publish", "a.b", "--attribute", "data=x"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

/// A producer that keeps delaying events reaches its own limit, and nobody else's.
#[test]
fn a_producer_that_delays_events_without_end_keeps_nobody_out() {
    let setup = Setup::new().plugin("ledger");
    private(&setup.path().join("shop.token"), "shop-token-of-today\n");
    private(&setup.path().join("bank.token"), "bank-token-of-today\n");
    let producer =
        |file: &str| format!("[[ingress.events]]\ntypes = [\">\"]\nsources = [\"*\"]\ntoken_file = \"{file}.token\"\n");
    let limits = "[bus]\nmax_producer_delayed = 100\nmax_log_bytes = 1000000\n";
    let mut host = setup.config(&format!("{limits}{}{}", producer("shop"), producer("bank"))).start();
    let batch = |from: usize, source: &str| {
        (from..from + 50).map(|id| event(&id.to_string(), source, "order.placed")).collect::<Value>()
    };
    let publish = |host: &Host, token: &str, query: &str, events: &Value| {
        post(host, &host.url(&format!("/events{query}")), Some(token), events)
    };
    let (shop, bank) = ("shop-token-of-today", "bank-token-of-today");
    for from in [0, 50] {
        let answer = publish(&host, shop, "?delay=50y", &batch(from, &format!("/{from}")));
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    for _ in 0..2 {
        for query in ["?delay=50y", "?at=2099-01-01T00:00:00Z"] {
            let refused = publish(&host, shop, query, &batch(100, "/shop"));
            assert_eq!((refused.status, refused.problem().as_str()), (429, "producer-full"), "{}", refused.body);
            assert!(refused.headers.contains_key("retry-after"));
            assert!(refused.body.contains("max_producer_delayed"), "{}", refused.body);
        }
        assert_eq!(publish(&host, shop, "", &batch(200, "/shop")).status, 202, "events of now are not delayed ones");
        assert_eq!(publish(&host, bank, "?delay=1h", &batch(0, "/bank")).status, 202);
        assert!(host.cli(&["publish", "order.placed", "{}", "--delay", "1h"]).status.success());
        assert_eq!(
            host.post("/ledger", json!({ "account": "a", "amount": 1 })).status / 100,
            2,
            "routes of plugins publish"
        );
        host = host.crash_and_restart();
    }
}

/// By default a producer can fill at most half of the log.
#[test]
fn a_producer_leaves_half_of_the_log_to_others() {
    let setup = Setup::new();
    private(&setup.path().join("bank.token"), "bank-token-of-today\n");
    let config = "[bus]\nmax_log_bytes = 20000\n[[ingress.events]]\ntypes = [\"a.>\"]\nsources = [\"*\"]\n
        [[ingress.events]]\ntypes = [\"b.>\"]\nsources = [\"*\"]\ntoken_file = \"bank.token\"\n";
    let host = setup.config(config).start();
    let big = |id: usize, event_type: &str| {
        let mut event = event(&id.to_string(), "/x", event_type);
        event["data"] = "x".repeat(1_000).into();
        event
    };
    let refused =
        (0..100).map(|id| post(&host, &host.url("/events"), None, &big(id, "a.b"))).find(|it| it.status != 202);
    let refused = refused.expect("there is a limit");
    assert_eq!((refused.status, refused.problem().as_str()), (429, "producer-full"), "{}", refused.body);
    let token = Some("bank-token-of-today");
    assert_eq!(post(&host, &host.url("/events"), token, &big(500, "b.c")).status, 202);
    assert!(host.cli(&["publish", "a.b", "{}"]).status.success());
    let log: u64 = host.events_of("a.b").iter().map(|event| event.to_string().len() as u64).sum();
    assert!((9_000..14_000).contains(&log), "{log}");
}

/// A plugin that keeps publishing for itself reaches its own limit, and nobody else's.
#[test]
fn a_publishing_loop_stays_bounded_and_keeps_nobody_out() {
    let limits = [("max_plugin_backlog = 300", 300 * 1_500), ("max_plugin_log_bytes = 300000", 300_000)];
    for (limit, bytes) in limits {
        let config = format!("[bus]\nmax_log_bytes = 2000000\nmax_backlog = 100\n{limit}\n");
        let sidecar = "[subscriptions.breed]\nmax_attempts = 2\ninitial_delay = \"20ms\"\n";
        let host = Setup::new().plugin("breeder").sidecar("breeder", sidecar).config(&config).start();
        assert_eq!(host.publish("breeder.cell", "first", json!({})).status, 202);
        for number in 0..300 {
            let answer = host.publish("order.placed", &number.to_string(), json!({ "number": number }));
            assert_eq!(answer.status, 202, "{}", answer.body);
        }
        host.wait_until_idle();
        let answer = host.publish("order.placed", "last", json!({}));
        assert_eq!(answer.status, 202, "{}", answer.body);
        let dead = host.dead_letters();
        assert!(!dead.is_empty());
        for letter in &dead {
            assert_eq!(letter["cause"], "limit", "{letter}");
            let key = limit.split(' ').next().unwrap_or_default();
            assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains(key)), "{letter}");
        }
        let cells = host.events_of("breeder.cell").len();
        // Deliveries that were in flight when the limit was reached may still commit.
        assert!(cells * 1_200 < bytes + 200_000, "{cells} events under {limit}");
    }
}
