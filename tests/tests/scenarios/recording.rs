//! `sandbus test --record`: events of a running host become scenarios.

use super::*;

#[test]
fn an_event_of_a_running_host_becomes_a_scenario() {
    let host = Setup::new().plugin("registration-handler").start();
    let user = json!({ "user_id": "1", "name": "Ada", "email": "ada@example.com" });
    assert_eq!(host.publish("user.registered", "1", user).status, 202);
    assert_eq!(host.publish("user.registered", "bad", json!({ "user_id": 7 })).status, 202);
    let user = json!({ "user_id": "2", "name": "Grace", "email": "grace@example.com", "phone": null });
    assert_eq!(host.publish("user.registered", "2", user).status, 202);
    host.wait_until_idle();

    let wasm = guest_path("registration-handler");
    for (id, expected, other) in [
        ("1", "Welcome, Ada!", "Welcome, Bob!"),
        ("bad", "cause = \"rejected\"", "cause = \"trap\""),
        ("2", "Welcome, Grace!", "Welcome, Bob!"),
    ] {
        let file = host.path().join(format!("recorded/{id}.toml"));
        let output = host.cli(&["test", "--record", id, "--output", path(&file)]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && told.contains("not recorded"), "{output:?}");
        let scenario = std::fs::read_to_string(&file).unwrap();
        assert!(scenario.contains(expected), "{scenario}");
        let output = play(&[path(&wasm), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{scenario}", stdout(&output));
        put(&file, scenario.replace(expected, other).as_bytes());
        assert_eq!(play(&[path(&wasm), "--scenarios", path(&file)]).status.code(), Some(1), "{scenario}");
    }
    assert!(host.path().join("recorded/2.ndjson").is_file(), "TOML has no null");
    let output = host.cli(&["test", "--record", "nobody"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no event with the id `nobody`"), "{output:?}");
}

/// The comments and the command of a recording of several plugins can be followed as they stand.
#[test]
fn an_event_of_several_plugins_becomes_a_scenario_that_can_be_completed() {
    let plugins = ["audit", "registration-handler"];
    let host = Setup::new().plugin(plugins[0]).plugin(plugins[1]).start();
    let user = json!({ "user_id": "1", "name": "Ada", "email": "ada@example.com" });
    assert_eq!(host.publish("user.registered", "1", user).status, 202);
    host.wait_until_idle();
    std::fs::create_dir(host.path().join("shop")).unwrap();
    for guest in plugins {
        std::fs::copy(guest_path(guest), host.path().join("shop").join(format!("{guest}.wasm"))).unwrap();
    }
    let file = host.path().join("shop/recorded.toml");
    let output = host.cli(&["test", "--record", "1", "--output", path(&file)]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let command = format!("sandbus test DIRECTORY --scenarios {}", path(&file));
    assert!(output.status.success() && told.contains(&command), "{output:?}");

    let recorded = std::fs::read_to_string(&file).unwrap();
    let completed: String = recorded
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.starts_with("given.")).unwrap_or(line).to_owned() + "\n")
        .collect();
    assert!(completed.contains("\ngiven.plugins.registration-handler.state = { }\n"), "{recorded}");
    for text in [recorded, completed] {
        put(&file, text.as_bytes());
        let output = play(&[path(&host.path().join("shop")), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{text}\n{output:?}", stdout(&output));
    }
}

/// Retries with short delays need time to pass, too, whether they succeed or end as a dead letter.
#[test]
fn recorded_retries_take_place_in_a_scenario() {
    let host = Setup::new().plugin("flaky").plugin("poison").start();
    for (plugin, event_type) in [("flaky", "flaky.job"), ("poison", "poison.pill")] {
        assert_eq!(host.publish(event_type, plugin, json!({})).status, 202);
        host.wait_until_idle();
        let file = host.path().join(format!("recorded/{plugin}.toml"));
        let output = host.cli(&["test", "--record", plugin, "--output", path(&file)]);
        assert!(output.status.success(), "{output:?}");
        let scenario = std::fs::read_to_string(&file).unwrap();
        assert!(scenario.contains("flaky.done") || scenario.contains("attempts = 2"), "{scenario}");
        let output = play(&[path(&guest_path(plugin)), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{scenario}", stdout(&output));
    }
}

/// Events that JSON allows, but that few programs can read.
#[test]
fn odd_data_in_the_log_does_not_prevent_recordings() {
    let host = Setup::new().plugin("registration-handler").start();
    let user = |id: &str| format!(r#"{{"user_id":"{id}","name":"Ada","email":"ada@example.com""#);
    for (id, data) in [
        ("huge", "1e400".to_owned()),
        ("surrogate", r#"{"name":"\ud800"}"#.to_owned()),
        ("handled", format!("{},\"weight\":1e400}}", user("1"))),
        ("plain", format!("{}}}", user("2"))),
    ] {
        let (event_type, content) = ("user.registered", "application/cloudevents+json");
        let event = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"{event_type}","datacontenttype":"application/json","data":{data}}}"#
        );
        assert_eq!(
            host.send("POST", &host.url("/events"), &[("content-type", content)], event.as_bytes()).status,
            202,
            "{event}"
        );
    }
    host.wait_until_idle();
    for (id, is_file) in [("plain", false), ("handled", true), ("huge", true), ("surrogate", true)] {
        let file = host.path().join(format!("recorded/{id}.toml"));
        let output = host.cli(&["test", "--record", id, "--output", path(&file)]);
        assert!(output.status.success(), "{id}: {output:?}");
        assert_eq!(file.with_extension("ndjson").is_file(), is_file, "{id}");
        let output = play(&[path(&guest_path("registration-handler")), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{}", stdout(&output), std::fs::read_to_string(&file).unwrap());
    }
}
