//! Several hosts on one database: they share the work, and keep the promises of one host while others die, hang, stop
//! and join.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sandbus_tests::ledger_load::{assert_nothing_lost, publish_while, wait_for_load};
use sandbus_tests::{Host, PostgresServer, Setup, eventually, put};
use serde_json::json;

/// A host that shares the work on a schema.
fn member(server: &PostgresServer, schema: &str) -> Setup {
    Setup::new().config(&format!(
        "[bus]\nurl = \"{}\"\n[cluster]\nlisten = \"127.0.0.1:0\"\n[probe]\nlisten = \"127.0.0.1:0\"",
        server.url(schema)
    ))
}

/// Hosts that share the work on a schema. The first one is active.
fn hosts<const N: usize>(server: &PostgresServer, schema: &str, plugin: &str) -> [Host; N] {
    [(); N].map(|()| member(server, schema).plugin(plugin).start())
}

/// The number of attempts that a host has made.
fn attempts(host: &Host) -> u64 {
    let metrics = host.send("GET", &host.admin_url("/metrics"), &[], b"").body;
    let counts = metrics.lines().filter(|line| line.starts_with("sandbus_attempts_total{"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).sum()
}

fn is_ready(host: &Host) -> bool {
    host.send("GET", &host.admin_url("/readyz"), &[], b"").status == 200
}

#[test]
fn three_hosts_share_the_work_and_each_of_them_is_a_whole_host() {
    let server = PostgresServer::shared();
    let hosts = hosts::<3>(server, "shared_work", "ledger");
    let (acknowledged, sent) = publish_while(&hosts.each_ref(), |sent| wait_for_load(sent, 1_500));
    assert_nothing_lost(&hosts[2], server, "shared_work", &acknowledged, sent);
    let shares = hosts.each_ref().map(attempts);
    let all: u64 = shares.iter().sum();
    assert!(shares.iter().all(|share| *share * 10 >= all), "{shares:?}");

    // Requests, their state and their events, on any host.
    for (number, host) in hosts.iter().enumerate() {
        let answer = host.send("POST", &host.url("/ledger"), &[("content-type", "application/json")], b"{}");
        assert_eq!(answer.status, 201, "{number}: {}", answer.body);
        let contended = host.send("POST", &host.url("/ledger/contended"), &[], b"");
        assert_eq!(contended.body, (number + 1).to_string());
    }
    // A host may see the backlog of a moment ago.
    let entries = acknowledged.len() as u64 + 3;
    let booked = eventually("all entries are booked, and each host sees them", || {
        let booked = hosts.each_ref().map(|host| host.get("/ledger").json()["booked"].as_u64().unwrap());
        (booked[0] >= entries && booked == [booked[0]; 3]).then_some(booked)
    });
    // What one operator does holds for all hosts.
    let pause = hosts[1].operate("POST", "/subscriptions/ledger/entry/pause");
    assert!(pause.status < 300, "{}", pause.body);
    eventually("the other hosts see the pause", || {
        let paused = |host: &Host| !host.subscription("ledger/entry").unwrap()["waits_for"].is_null();
        hosts.iter().all(paused).then_some(())
    });
    assert_eq!(hosts[2].publish("ledger.entry", "paused", json!(1)).status, 202);
    assert_eq!(hosts[0].get("/ledger").json()["booked"], booked[0]);
    let resume = hosts[2].operate("POST", "/subscriptions/ledger/entry/resume");
    assert!(resume.status < 300, "{}", resume.body);
    eventually("the paused entry is booked", || {
        (hosts[1].get("/ledger").json()["booked"] == booked[0] + 1).then_some(())
    });
}

#[test]
fn a_member_that_dies_loses_nothing() {
    let server = PostgresServer::shared();
    let [active, member, dying] = hosts::<3>(server, "dead_member", "ledger");
    let (acknowledged, sent) = publish_while(&[&active, &member, &dying], |sent| {
        wait_for_load(sent, 300);
        dying.signal("-KILL");
        wait_for_load(sent, 300);
    });
    assert_nothing_lost(&active, server, "dead_member", &acknowledged, sent);
}

#[test]
fn a_member_takes_over_from_an_active_host_that_dies_and_nothing_is_lost() {
    let server = PostgresServer::shared();
    let [active, second, third] = hosts::<3>(server, "dead_active", "ledger");
    let killed = std::cell::Cell::new(Instant::now());
    let (acknowledged, sent) = publish_while(&[&active, &second, &third], |sent| {
        wait_for_load(sent, 300);
        active.signal("-KILL");
        killed.set(Instant::now());
        eventually("the members notice", || (!is_ready(&second) && !is_ready(&third)).then_some(()));
        eventually("another host takes over", || (is_ready(&second) && is_ready(&third)).then_some(()));
        wait_for_load(sent, 300);
    });
    assert!(killed.get().elapsed() < Duration::from_secs(60));
    assert_nothing_lost(&second, server, "dead_active", &acknowledged, sent);
    assert_eq!(server.execute("SELECT count(*) FROM dead_active.hosts"), "2");
}

#[test]
fn a_member_takes_over_at_once_from_an_active_host_that_stops() {
    let server = PostgresServer::shared();
    let [active, second, third] = hosts::<3>(server, "stopped_active", "ledger");
    let (acknowledged, sent) = publish_while(&[&second, &third], |sent| {
        wait_for_load(sent, 200);
        let (is_success, log) = active.terminate();
        assert!(is_success, "{log}");
        // Refused events are part of the load, so it does not show that a member has taken over.
        let hosts = "SELECT count(*) FROM stopped_active.hosts";
        eventually("a member has the lease", || (server.execute(hosts) == "2").then_some(()));
        eventually("both members are ready", || (is_ready(&second) && is_ready(&third)).then_some(()));
        wait_for_load(sent, 200);
    });
    assert_nothing_lost(&third, server, "stopped_active", &acknowledged, sent);
    assert_eq!(server.execute("SELECT ended FROM stopped_active.hosts WHERE ended IS NOT NULL"), "it was stopped");
}

#[test]
fn a_member_that_hangs_does_its_work_once() {
    let server = PostgresServer::shared();
    let [active, member, hanging] = hosts::<3>(server, "hanging_member", "ledger");
    let (acknowledged, sent) = publish_while(&[&active, &member], |sent| {
        wait_for_load(sent, 200);
        hanging.signal("-STOP");
        eventually("the active host gives its deliveries to others", || {
            active.log().contains("another host has left").then_some(())
        });
        wait_for_load(sent, 200);
        hanging.signal("-CONT");
        wait_for_load(sent, 200);
        eventually("it joins again", || is_ready(&hanging).then_some(()));
    });
    assert_nothing_lost(&hanging, server, "hanging_member", &acknowledged, sent);
}

#[test]
fn hosts_join_and_leave_under_load() {
    let server = PostgresServer::shared();
    let [active, member] = hosts::<2>(server, "joining", "ledger");
    let (acknowledged, sent) = publish_while(&[&active, &member], |sent| {
        for _ in 0..4 {
            let [joining] = hosts::<1>(server, "joining", "ledger");
            wait_for_load(sent, 100);
            let (is_success, log) = joining.terminate();
            assert!(is_success, "{log}");
        }
    });
    assert_nothing_lost(&member, server, "joining", &acknowledged, sent);
}

#[test]
fn hosts_wait_for_a_database_that_is_away_and_go_on() {
    let mut server = PostgresServer::start();
    let [active, member] = hosts::<2>(&server, "away", "ledger");
    assert_eq!(member.publish("ledger.entry", "1", json!(1)).status, 202);
    member.wait_until_idle();
    server.crash();
    eventually("both hosts notice", || (!is_ready(&active) && !is_ready(&member)).then_some(()));
    assert_eq!(member.publish("ledger.entry", "2", json!(1)).status, 503);
    server.start_again();
    eventually("both hosts are ready again", || (is_ready(&active) && is_ready(&member)).then_some(()));
    assert_eq!(member.publish("ledger.entry", "2", json!(1)).status, 202);
    let expected = BTreeSet::from(["1".to_owned(), "2".to_owned()]);
    assert_nothing_lost(&active, &server, "away", &expected, 2);
}

#[test]
fn a_host_that_does_not_share_its_work_is_not_joined() {
    let server = PostgresServer::shared();
    let alone = Setup::new().config(&format!("[bus]\nurl = \"{}\"", server.url("alone"))).start();
    let joining = member(server, "alone").into_directory();
    let starting = sandbus_tests::Launch::serve(joining.path()).spawn();
    eventually("it says why it waits", || starting.log().contains("does not share its work").then_some(()));
    assert!(starting.end_with("-TERM").success());
    let ended = alone.terminate();
    assert!(ended.0, "{}", ended.1);
}

#[test]
fn contradictions_in_the_configuration_are_named() {
    for (config, expected) in [
        ("[cluster]\nlisten = \"127.0.0.1:0\"", "set bus.url to a database"),
        ("[bus]\nurl = \"postgres://db/app\"\n[cluster]\nlisten = \"0.0.0.0:0\"", "set cluster.advertise"),
        (
            "[bus]\nurl = \"postgres://db/app\"\nstandby = true\n[cluster]\nlisten = \"127.0.0.1:0\"",
            "remove bus.standby",
        ),
        ("[bus]\nurl = \"postgres://db/app\"\n[cluster]\nadvertise = \"a:1\"", "without cluster.listen"),
        (
            "[bus]\nurl = \"postgres://db/app\"\n[cluster]\nlisten = \"127.0.0.1:0\"\nadvertise = \"a\"",
            "is not HOST:PORT of this machine",
        ),
    ] {
        let refused = Setup::new().config(config).start_refused();
        assert!(refused.contains(expected), "{config}: {refused}");
    }
}

#[test]
fn plugins_of_one_host_reach_all_hosts_and_never_replace_newer_ones() {
    let server = PostgresServer::shared();
    let first = member(server, "plugins").plugin("ledger").start();
    // The other hosts begin with empty folders.
    eventually("the plugin is shared", || first.log().contains("shared a plugin file").then_some(()));
    let second = member(server, "plugins").start();
    assert!(second.plugin("ledger.wasm").is_some(), "a host has the plugins of the others when it starts");
    second.drop_in("echo", "echo.wasm");
    eventually("the first host has the new plugin", || first.plugin("echo.wasm"));
    put(&first.file("echo.toml"), b"[limits]\nconcurrency = 3\n");
    eventually("the second host has the sidecar", || {
        (std::fs::read(second.file("echo.toml")).ok()? == b"[limits]\nconcurrency = 3\n").then_some(())
    });
    std::fs::remove_file(second.file("ledger.wasm")).unwrap();
    eventually("the plugin is removed on both hosts", || first.plugin("ledger.wasm").is_none().then_some(()));

    // A host that was away has an old folder.
    let second = second.stop_and_restart_after(|directory| {
        put(&first.file("echo.toml"), b"[limits]\nconcurrency = 5\n");
        eventually("the newest file is stored", || {
            let stored = server
                .execute("SELECT convert_from(content, 'UTF8') FROM plugins.plugin_files WHERE name = 'echo.toml'");
            stored.contains("concurrency = 5").then_some(())
        });
        put(&directory.join("plugins/echo.toml"), b"[limits]\nconcurrency = 4\n");
    });
    let sidecar = std::fs::read_to_string(second.file("echo.toml")).unwrap();
    assert_eq!(sidecar, "[limits]\nconcurrency = 5\n");
}
