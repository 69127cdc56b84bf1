//! The bus on PostgreSQL: a host keeps its promises while connections break, the server crashes, and hosts are killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use sandbus_tests::ledger_load::{assert_nothing_lost, publish_while, wait_for_load};
use sandbus_tests::{
    Host, PostgresServer, Setup, StandbyHost, agent, binary, eventually, put, send, with_open_ingress,
};
use serde_json::{Value, json};

/// The configuration of a host on a schema.
fn on(server: &PostgresServer, schema: &str) -> String {
    format!("[bus]\nurl = \"{}\"", server.url(schema))
}

/// Whether a host says that it is ready.
fn is_ready(host: &Host) -> bool {
    host.send("GET", &host.admin_url("/readyz"), &[], b"").status == 200
}

#[test]
fn the_registration_flow_runs_on_a_database_and_survives_a_kill() {
    let server = PostgresServer::shared();
    let setup = Setup::new().plugin("registration").plugin("registration-handler").plugin("registration-subscriber");
    let host = setup.config(&on(server, "registration")).start();
    let answer = host.post("/register", json!({ "name": "Ada", "email": "ada@example.com" }));
    assert_eq!(answer.status, 201, "{}", answer.body);
    host.wait_until_idle();
    let before = host.admin("/events?limit=100");
    assert!(
        before["events"].as_array().unwrap().iter().any(|event| event["event"]["type"] == "user.registered"),
        "{before}"
    );
    assert!(!host.path().join("data/bus.db").exists(), "nothing of the bus is on the host's own disk");
    // The next run has the same data directory, so it need not wait for the lease to expire.
    let host = host.crash_and_restart();
    assert_eq!(host.admin("/events?limit=100"), before);
    let host = host.stop_and_restart();
    assert_eq!(host.admin("/events?limit=100"), before);
}

#[test]
fn every_acknowledged_event_is_handled_once_while_connections_break() {
    // Of its own, because the connections of all hosts break.
    let server = PostgresServer::start();
    let host = Setup::new().plugin("ledger").config(&on(&server, "broken_connections")).start();
    let (acknowledged, sent) = publish_while(&[&host], |sent| {
        for _ in 0..15 {
            wait_for_load(sent, 40);
            server.break_connections();
        }
    });
    assert!(acknowledged.len() > 200, "{} of {sent} were acknowledged", acknowledged.len());
    assert_nothing_lost(&host, &server, "broken_connections", &acknowledged, sent);
}

#[test]
fn a_crash_of_the_server_loses_nothing_and_the_host_goes_on() {
    let mut server = PostgresServer::start();
    let host = Setup::new().plugin("ledger").config(&on(&server, "crashed")).start();
    let (acknowledged, sent) = publish_while(&[&host], |sent| {
        for _ in 0..2 {
            wait_for_load(sent, 100);
            server.crash();
            // Changes are refused, and the host says that it is not ready.
            eventually("the host is not ready", || (!is_ready(&host)).then_some(()));
            server.start_again();
            eventually("the host is ready", || (is_ready(&host)).then_some(()));
        }
        wait_for_load(sent, 100);
    });
    assert_nothing_lost(&host, &server, "crashed", &acknowledged, sent);
}

#[test]
fn a_host_whose_lease_was_taken_commits_nothing_more_and_ends() {
    let server = PostgresServer::shared();
    let host = Setup::new().plugin("ledger").config(&on(server, "fenced")).start();
    assert_eq!(host.publish("ledger.entry", "1", json!(1)).status, 202);
    host.wait_until_idle();
    // What another host does that takes over.
    server.execute("UPDATE fenced.hosts SET ended = 'its lease expired' WHERE ended IS NULL");
    assert_ne!(host.publish("ledger.entry", "2", json!(2)).status, 202);
    let (is_success, log) = host.wait_until_ended();
    assert!(!is_success && log.contains("lost its lease"), "{log}");
    assert_eq!(server.execute("SELECT count(*) FROM fenced.events WHERE source = '/test' AND id = '2'"), "0");
}

#[test]
fn a_second_host_is_refused_while_the_first_one_lives() {
    let server = PostgresServer::shared();
    let first = Setup::new().plugin("ledger").config(&on(server, "two_hosts")).start();
    let refused = Setup::new().config(&on(server, "two_hosts")).start_refused();
    assert!(refused.contains("another host has the lease") && refused.contains("which renewed it"), "{refused}");
    assert_eq!(first.publish("ledger.entry", "1", json!(1)).status, 202, "the first one goes on");
    first.wait_until_idle();
    let ended = first.terminate();
    assert!(ended.0, "{}", ended.1);
    // After a goodbye, another host need not wait.
    let second = Setup::new().plugin("ledger").config(&on(server, "two_hosts")).start();
    second.wait_until_idle();
    assert_eq!(second.get("/ledger").json()["booked"], 1, "the state is in the database");
}

/// Starts a standby of a host with the plugin `ledger`.
fn standby(server: &PostgresServer, schema: &str) -> StandbyHost {
    let setup = Setup::new().plugin("ledger").env("SANDBUS_BUS", &server.url(schema));
    setup.config("[probe]\nlisten = \"127.0.0.1:0\"").start_standby()
}

#[test]
fn a_standby_takes_over_from_a_host_that_dies_and_loses_nothing() {
    let server = PostgresServer::shared();
    let active = Setup::new().plugin("ledger").config(&on(server, "failover")).start();
    let standby = standby(server, "failover");
    let (ingress, admin) = standby.starting.wait_until_standing_by();
    let probe = eventually("the probe listener answers", || {
        let log = standby.starting.log();
        let line = log.lines().find(|line| line.contains("the probe listener answers"))?.to_owned();
        Some(serde_json::from_str::<Value>(&line).unwrap()["address"].as_str().unwrap().to_owned())
    });
    let get = |url: String| send(&agent(), "GET", &url, &[], b"").unwrap();
    for url in
        [format!("http://{ingress}/ledger"), format!("http://{admin}/v1/plugins"), format!("http://{probe}/readyz")]
    {
        let answer = get(url);
        assert_eq!((answer.status, answer.problem().as_str()), (503, "standby"), "{}", answer.body);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(get(format!("http://{probe}/livez")).status, 200);

    let (acknowledged, sent) = publish_while(&[&active], |sent| {
        wait_for_load(sent, 200);
        active.signal("-KILL");
    });
    let host = standby.wait_until_active();
    assert!(host.log().contains("taking over"), "{}", host.log());
    assert!(acknowledged.len() > 100, "{} of {sent} were acknowledged", acknowledged.len());
    assert_nothing_lost(&host, server, "failover", &acknowledged, sent);
    assert_eq!(get(format!("http://{probe}/readyz")).status, 200);
    assert_eq!(host.publish("ledger.entry", "after", json!(1)).status, 202);
}

#[test]
fn a_standby_takes_over_from_a_host_that_stops() {
    let server = PostgresServer::shared();
    let active = Setup::new().plugin("ledger").config(&on(server, "handover")).start();
    let standby = standby(server, "handover");
    drop(standby.starting.wait_until_standing_by());
    assert_eq!(active.publish("ledger.entry", "1", json!(1)).status, 202);
    active.wait_until_idle();
    let (is_success, log) = active.terminate();
    assert!(is_success, "{log}");
    let host = standby.wait_until_active();
    assert_eq!(host.get("/ledger").json()["booked"], 1, "the state is in the database");
    assert_eq!(server.execute("SELECT ended FROM handover.hosts WHERE ended IS NOT NULL"), "it was stopped");
}

#[test]
fn a_standby_that_is_stopped_ends_at_once_and_leaves_the_active_host_alone() {
    let server = PostgresServer::shared();
    let active = Setup::new().plugin("ledger").config(&on(server, "stopped_standby")).start();
    let standby = standby(server, "stopped_standby");
    let (_, admin) = standby.starting.wait_until_standing_by();
    // Clients that treat a response before their request as an error get the problem, too.
    for _ in 0..10 {
        let arguments = ["plugins", "--admin", &format!("http://{admin}")];
        let output = Command::new(binary()).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains("another host is active"), "{error}");
    }
    assert!(standby.starting.end_with("-TERM").success());
    assert_eq!(active.publish("ledger.entry", "1", json!(1)).status, 202);
}

#[test]
fn a_standby_waits_through_an_outage_of_the_database() {
    let mut server = PostgresServer::start();
    let active = Setup::new().plugin("ledger").config(&on(&server, "outage")).start();
    let standby = standby(&server, "outage");
    drop(standby.starting.wait_until_standing_by());
    assert_eq!(active.publish("ledger.entry", "1", json!(1)).status, 202);
    active.wait_until_idle();
    server.crash();
    eventually("the standby notices", || standby.starting.log().contains("has lost its connection").then_some(()));
    active.signal("-KILL");
    server.start_again();
    let host = standby.wait_until_active();
    assert_eq!(host.get("/ledger").json()["booked"], 1);
}

#[test]
fn an_idle_host_says_that_it_is_not_ready_while_the_database_is_away() {
    let mut server = PostgresServer::start();
    let host = Setup::new().plugin("ledger").config(&on(&server, "idle")).start();
    server.crash();
    eventually("the host is not ready", || (!is_ready(&host)).then_some(()));
    server.start_again();
    eventually("the host is ready", || is_ready(&host).then_some(()));
}

#[test]
fn a_malformed_url_of_the_store_is_refused_without_its_password() {
    for url in ["postgres://u:s3cret@h:99999/d", "postgres://u:s3#cret@h/d", "postgres://u:s3cret@h/d?sslmode=x"] {
        for output in [
            Command::new(binary()).args(["serve", "--bus", url]).output().unwrap(),
            Command::new(binary()).arg("serve").env("SANDBUS_BUS", url).output().unwrap(),
        ] {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && error.contains("SANDBUS_BUS"), "{error}");
            assert!(!error.contains("s3"), "{error}");
        }
    }
}

#[test]
fn a_standby_does_not_take_over_tables_of_a_newer_version() {
    let server = PostgresServer::shared();
    let active = Setup::new().config(&on(server, "upgraded")).start();
    let standby = standby(server, "upgraded");
    drop(standby.starting.wait_until_standing_by());
    server.execute("UPDATE upgraded.sandbus_version SET version = 99");
    assert!(active.terminate().0);
    let refused = standby.starting.wait().unwrap_err();
    assert!(refused.contains("version 99") && refused.contains("run the newer Sandbus"), "{refused}");
    assert_eq!(server.execute("SELECT count(*) FROM upgraded.hosts WHERE ended IS NULL"), "0");
}

#[test]
fn a_standby_needs_a_database() {
    let refused = Setup::new().config("[bus]\nstandby = true").start_refused();
    assert!(refused.contains("bus.standby") && refused.contains("bus.url"), "{refused}");
}

#[test]
fn a_database_that_cannot_be_used_is_refused_with_the_remedy() {
    let server = PostgresServer::shared();
    server.execute("CREATE SCHEMA other_program; CREATE TABLE other_program.users (name text)");
    let refused = |url: &str| {
        let log = Setup::new().config(&format!("[bus]\nurl = \"{url}\"")).start_refused();
        assert!(!log.contains("secret"), "{log}");
        log
    };
    let unreachable = refused("postgres://ada:secret@127.0.0.1:1/app");
    assert!(unreachable.contains("cannot use postgres://ada:***@127.0.0.1:1/app"), "{unreachable}");
    let missing = refused(&server.url("x").replace("/postgres?", "/missing?"));
    assert!(missing.contains("\"missing\" does not exist"), "{missing}");
    let foreign = refused(&server.url("other_program"));
    assert!(foreign.contains("`users`") && foreign.contains("schema=NAME"), "{foreign}");
    assert_eq!(server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'other_program'"), "1");
    server.execute("CREATE SCHEMA newer; CREATE TABLE newer.sandbus_version (version bigint); INSERT INTO newer.sandbus_version VALUES (99)");
    let newer = refused(&server.url("newer"));
    assert!(newer.contains("version 99") && newer.contains("run the newer Sandbus"), "{newer}");
    // A user without the right to create a schema is told so.
    server.execute("CREATE ROLE guest LOGIN");
    let forbidden = refused(&server.url("guests").replace("sandbus@", "guest@"));
    assert!(forbidden.contains("permission denied"), "{forbidden}");
    let read_only = refused(&format!("{}&options=-c%20default_transaction_read_only%3Don", server.url("read_only")));
    assert!(
        read_only.contains("read-only") || read_only.contains("read_only") || read_only.contains("session"),
        "{read_only}"
    );
}

#[test]
fn values_with_any_characters_are_stored_unchanged() {
    let server = PostgresServer::shared();
    let host = Setup::new().plugin("ledger").config(&on(server, "characters")).start();
    // JSON may have U+0000, which a text of PostgreSQL cannot.
    let event =
        json!({ "specversion": "1.0", "id": "nul", "source": "/test", "type": "note", "data": { "key": "a\u{0}b" } });
    let headers = [("content-type", "application/cloudevents+json")];
    let answer = host.send("POST", &host.url("/events"), &headers, event.to_string().as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.body);
    let long = "i".repeat(5_000);
    assert_eq!(host.publish("note", &long, json!("a long id")).status, 202);
    assert_eq!(host.publish("note", &long, json!("a long id")).status, 202, "a duplicate");
    let events = host.events_of("note");
    let data: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    assert_eq!(events.len(), 2, "{data:?}");
    assert!(data.contains(&&json!({ "key": "a\u{0}b" })), "{data:?}");
}

/// Runs `sandbus migrate` in a host's directory. Returns the number of rows of each table, or the error.
fn migrate(directory: &Path, from: &str, to: &str) -> Result<Value, String> {
    let arguments = ["migrate", "--json", "--from", from, "--to", to];
    let output = Command::new(binary()).args(arguments).current_dir(directory).output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Makes a host use another store from its next start on.
fn use_store(directory: &Path, url: &str) {
    put(&directory.join("sandbus.toml"), with_open_ingress(&format!("[bus]\nurl = \"{url}\"")).as_bytes());
}

/// What operators and plugins see of the bus.
fn everything(host: &Host) -> BTreeMap<&'static str, Value> {
    let pages = ["events?limit=500", "dead-letters", "scheduled", "plugins/keyed/state", "plugins/numbers/state"];
    let mut seen: BTreeMap<_, _> = pages.into_iter().map(|page| (page, host.admin(&format!("/{page}")))).collect();
    let subscriptions = host.admin("/subscriptions")["subscriptions"].as_array().unwrap().clone();
    let facts = |subscription: &Value| {
        ["id", "pattern", "backlog", "parked_keys", "dead_letters", "paused", "cursor"]
            .map(|fact| subscription.get(fact).cloned().unwrap_or_default())
    };
    seen.insert("subscriptions", json!(subscriptions.iter().map(facts).collect::<Vec<_>>()));
    seen
}

#[test]
fn a_store_moves_to_a_database_and_back_with_everything_in_it() {
    let server = PostgresServer::shared();
    let database = server.url("migrated");
    let host = Setup::new().plugin("keyed").plugin("numbers").plugin("ticker").start();
    let enter = |host: &Host, number: u64, fail_until: u64| {
        let data = json!({ "account": "ada", "number": number, "fail_until": fail_until });
        assert_eq!(host.publish("keyed.parked", &format!("ada-{number}"), data).status, 202);
    };
    // A parked key with a dead letter and deliveries behind it, delayed events, a sequence, and state.
    enter(&host, 1, 4);
    (2..=5).for_each(|number| enter(&host, number, 0));
    eventually("the entry is dead", || (host.dead_letters().len() == 1).then_some(()));
    // Any character: U+0000 in a key of the state, and in a reason.
    let odd = json!({ "type": "keyed.entry", "id": "odd", "data": { "account": "a\u{0}b", "number": 1 } });
    assert_eq!(host.publish_event("/events", odd).status, 202);
    let later = json!({ "type": "keyed.entry", "id": "later", "data": { "account": "eve", "number": 1 } });
    assert_eq!(host.publish_event("/events?delay=1h", later).status, 202);
    let drawn = host.post("/numbers/sequence", json!({})).json().as_u64().unwrap();
    assert_eq!(host.send("PUT", &host.url("/numbers/total"), &[], b"41").status, 204);
    eventually("only the parked key is open", || {
        (host.subscription("keyed/parked").unwrap()["backlog"] == 4
            && host.subscription("keyed/entry").is_none_or(|entry| entry["backlog"] == 0))
        .then_some(())
    });
    // Its schedule would change what is compared.
    std::fs::remove_file(host.file("ticker.wasm")).unwrap();
    eventually("it is gone", || host.plugin("ticker.wasm").is_none().then_some(()));
    let refused = migrate(host.path(), "data", &database).unwrap_err();
    assert!(refused.contains("data") && refused.contains("in use"), "{refused}");

    let before = everything(&host);
    let mut copied = Value::Null;
    let host = host.stop_and_restart_after(|directory| {
        copied = migrate(directory, "data", &database).unwrap();
        let again = migrate(directory, "data", &database).unwrap_err();
        assert!(again.contains("is not empty") && !again.contains("password"), "{again}");
        use_store(directory, &database);
    });
    let rows = |copied: &Value, table: &str| {
        let tables = copied["tables"].as_array().unwrap();
        tables.iter().find(|copied| copied["table"] == table).unwrap()["rows"].as_u64().unwrap()
    };
    for (table, least) in
        [("events", 6), ("dead_letters", 1), ("schedules", 1), ("state", 2), ("scheduled", 1), ("sequences", 1)]
    {
        assert!(rows(&copied, table) >= least, "{table}: {copied}");
    }
    assert_eq!(everything(&host), before);

    let busy = migrate(host.path(), &database, "other").unwrap_err();
    assert!(busy.contains("stop that host"), "{busy}");
    // The host goes on where it was: no number is given twice, the key is open again after a redrive.
    let next = host.post("/numbers/sequence", json!({})).json().as_u64().unwrap();
    assert!(next > drawn, "{next} follows {drawn}");
    put(&host.file("keyed.toml"), b"[subscriptions.parked]\nmax_attempts = 9\n");
    eventually("it may fail more often", || {
        (host.subscription("keyed/parked")?["retry"]["max_attempts"] == 9).then_some(())
    });
    assert_eq!(host.operate("POST", "/dead-letters/redrive?all=true").json()["redriven"], 1);
    eventually("the key is handled in order", || {
        let parked = host.get("/keyed/parked").json();
        (parked == json!({ "handled": 5, "out_of_order": 0, "last": { "ada": 5 } })).then_some(())
    });
    host.wait_until_idle();

    let before = everything(&host);
    let host = host.stop_and_restart_after(|directory| {
        let returned = migrate(directory, &database, "file:returned").unwrap();
        assert!(rows(&returned, "events") >= rows(&copied, "events"), "{returned}");
        use_store(directory, "file:../returned");
    });
    assert_eq!(everything(&host), before);
    assert!(host.path().join("returned/bus.db").exists());
    let last = host.post("/numbers/sequence", json!({})).json().as_u64().unwrap();
    assert!(last > next, "{last} follows {next}");
}

#[test]
fn a_migration_that_cannot_begin_says_why() {
    let server = PostgresServer::shared();
    let directory = tempfile::tempdir().unwrap();
    let refused = |from: &str, to: &str| migrate(directory.path(), from, to).unwrap_err();
    for (from, to, words) in [
        ("missing", "other", "missing"),
        ("data", "./data", "both are the store"),
        ("missing", "mysql://db/sandbus", "`mysql:` is not a kind of store"),
        ("file:", "other", "names no directory"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(words), "{from} to {to}: {error}");
    }
    assert!(!directory.path().join("other").exists(), "nothing is created for a source that cannot be read");
    server.execute("CREATE SCHEMA foreign_tables; CREATE TABLE foreign_tables.orders (id bigint)");
    let empty = Setup::new().start().stop_and_restart();
    let error = migrate(empty.path(), "missing", &server.url("foreign_tables")).unwrap_err();
    assert!(error.contains("missing"), "{error}");
    let empty = empty.stop_and_restart_after(|directory| {
        let error = migrate(directory, "data", &server.url("foreign_tables")).unwrap_err();
        assert!(error.contains("tables of another program, such as `orders`"), "{error}");
    });
    drop(empty);
}
