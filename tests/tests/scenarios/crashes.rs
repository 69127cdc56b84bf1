//! `sandbus test --crash`: scenarios with a crash before and after each commit.

use super::*;

/// What is in the transaction of a delivery happens once; a request may be sent again, and must be the same then.
#[test]
fn a_scenario_is_played_with_a_crash_before_and_after_each_commit() {
    let setup = Setup::new();
    let home = setup.path();
    let sandbus = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(home).output().unwrap();
    assert!(sandbus(&["new", "pay", "--lang", "js", "--on", "x.y"]).status.success());
    put(&home.join("pay/tests/scenarios.toml"), PAYMENT_SCENARIO.as_bytes());
    let with_key = |key: &str| std::fs::write(home.join("pay/src/plugin.js"), PAYMENT.replace("KEY", key)).unwrap();
    with_key("event.id");
    for output in play_in_both_forms(home, "pay", "pay/tests", &["--crash", "--json"]) {
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{answer:#}");
        let scenario = &answer["scenarios"][0];
        assert!(scenario["crashes"].as_u64().unwrap() >= 10, "two for each of at least five commits: {answer:#}");
        assert_eq!(scenario["repeated_requests"], json!(["POST https://pay.example.com/charges"]));
    }

    // The service cannot know that the second request is a repetition.
    with_key("crypto.randomUUID()");
    let output = sandbus(&["test", "pay"]);
    assert!(output.status.success(), "without crashes, nothing is wrong: {output:?}");
    let output = sandbus(&["test", "pay", "--crash"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let expected = "POST https://pay.example.com/charges was sent again, but differs: request.headers.idempotency-key";
    assert!(text.contains(expected) && text.contains("with a crash before commit "), "{text}");
}

#[test]
fn plugins_that_publish_to_each_other_survive_crashes() {
    let setup = Setup::new();
    let file = setup.path().join("chain.toml");
    let folder = guest_path("registration").parent().unwrap().to_owned();
    let names = ["registration", "registration-handler"].map(|name| folder.join(name).with_extension("wasm"));
    let [registration, handler] = names.map(|wasm| format!("{:?}", wasm.to_str().unwrap()));
    let chain = CHAIN.replace("\"registration\",", &format!("{registration},"));
    let chain = chain.replace("\"handler/registration-handler.wasm\"", &handler);
    put(&file, chain.as_bytes());
    let output = play(&[path(&guest_path("registration")), "--scenarios", path(&file), "--crash", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && answer["scenarios"][0]["crashes"].as_u64().unwrap() >= 4, "{answer:#}");
}

const NUMBERED: &str = r#"
import { plugin, publish, state } from "@sandbus/sdk";

export default plugin({ publishes: ["order.*"] })
  .route("POST /orders", (request) => {
    const id = state.sequence("orders");
    state.set(`order/${id}`, { id, of: DERIVED });
    publish("order.placed", { id, text: `order ${id}` });
    return { status: 202 };
  })
  .on("order.placed", ({ id }) => {
    const number = state.sequence("bills");
    state.set(`bill/${number}`, id);
    publish("order.billed", { id, number }, { delay: "1h" });
  });
"#;

const NUMBERED_SCENARIO: &str = r#"
[[scenario]]
name = "orders are numbered"
[[scenario.step]]
request = "POST /orders"
then.state = { "order/1" = { id = 1 }, "bill/1" = 1 }
then.absent = ["order/2"]
[[scenario.step]]
request = "POST /orders"
then.published = [{ data = { id = 2, text = "order 2" } }]
then.state = { "order/2" = { id = 2, of = OF }, "bill/2" = 2 }
then.absent = ["order/3"]
then.scheduled = [{ data = { id = 1, number = 1 } }, { data = { id = 2, number = 2 } }]
"#;

/// Sequences skip numbers after a crash, which is no fault of the plugin. What it derives from them is named.
#[test]
fn numbers_of_sequences_may_differ_after_a_crash_and_nothing_else() {
    let setup = Setup::new();
    let home = setup.path();
    let sandbus = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(home).output().unwrap();
    assert!(sandbus(&["new", "shop", "--lang", "js", "--on", "x.y"]).status.success());
    let save = |derived: &str, of: &str| {
        let source = NUMBERED.replace("DERIVED", derived);
        std::fs::write(home.join("shop/src/plugin.js"), source).unwrap();
        put(&home.join("shop/tests/scenarios.toml"), NUMBERED_SCENARIO.replace("OF", of).as_bytes());
    };
    save("id", "2");
    for output in play_in_both_forms(home, "shop", "shop/tests", &["--crash", "--json"]) {
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{answer:#}");
        let scenario = &answer["scenarios"][0];
        assert_eq!(scenario["crashes"].as_u64().unwrap(), scenario["commits"].as_u64().unwrap() * 2, "{answer:#}");
    }

    save("id * 10", "20");
    assert!(sandbus(&["test", "shop"]).status.success());
    let output = sandbus(&["test", "shop", "--crash"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let expected = "(after the crash, the sequence `orders` gave 17 instead of 2: sequences skip numbers)";
    assert!(text.contains("state[\"order/2\"].of: expected 20, got 170") && text.contains(expected), "{text}");
}

const FORGETFUL: &str = r#"
import { plugin, publish } from "@sandbus/sdk";

export default plugin({ publishes: ["b"] }).on("a", (data) => { for (let i = 0; i < data; i += 1) publish("b"); }).on("b", () => {});
"#;

#[test]
fn the_number_of_crashes_is_bounded_and_the_report_says_so() {
    let setup = Setup::new();
    let home = setup.path();
    let sandbus = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(home).output().unwrap();
    assert!(sandbus(&["new", "shop", "--lang", "js", "--on", "x.y"]).status.success());
    std::fs::write(home.join("shop/src/plugin.js"), FORGETFUL).unwrap();
    let scenario = "[[scenario]]\nname = \"many\"\n[[scenario.step]]\nevent = \"a\"\ndata = 70\n";
    put(&home.join("shop/tests/scenarios.toml"), scenario.as_bytes());
    let output = sandbus(&["test", "shop", "--crash"]);
    let text = stdout(&output);
    assert!(output.status.success() && text.contains(" 100 crashes at 50 of "), "{text}{output:?}");
}
