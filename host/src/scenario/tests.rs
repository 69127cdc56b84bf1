//! Tests of scenario files that need no component. With components: `tests/tests/scenarios`.

use std::path::Path;

use super::spec::Moment;
use super::*;

fn script(text: &str) -> ScenarioFile {
    toml::from_str(text).unwrap()
}

fn refusal(step: &str) -> String {
    let written = script(&format!("[[scenario]]\nname = \"x\"\n[[scenario.step]]\n{step}\n"));
    written.scenarios[0].steps[0].parse(1, Path::new(".")).unwrap_err().to_string()
}

#[test]
fn a_step_is_read() {
    let text =
        "[[scenario]]\nname = \"x\"\n[[scenario.step]]\nat = \"+5m\"\nrequest = \"POST /a?b=c\"\njson = { d = 1 }\n";
    let step = script(text).scenarios[0].steps[0].parse(1, Path::new(".")).unwrap();
    assert_eq!(step.at, Some(Moment::After(std::time::Duration::from_mins(5))));
    let Action::Request { method, target, headers, body } = step.action else { panic!("{step:?}") };
    assert_eq!((method.as_str(), target.as_str(), body.as_slice()), ("POST", "/a?b=c", b"{\"d\":1}".as_slice()));
    assert_eq!(headers, [("content-type".to_owned(), "application/json".to_owned())]);
}

#[test]
fn meaningless_scenarios_are_refused() {
    assert!(refusal("").contains("exactly one of"));
    assert!(refusal("event = \"a.b\"\nadvance = \"1s\"").contains("exactly one of"));
    assert!(refusal("advance = \"1s\"\ndata = 1").contains("belong to an `event`"));
    assert!(refusal("event = \"a.b\"\nthen.response = { status = 200 }").contains("belong to a `request`"));
    assert!(refusal("event = \"\"").contains("`type` is empty"));
    assert!(refusal("request = \"/a\"").contains("POST /register"));
    assert!(refusal("advance = \"soon\"").contains("`soon` is not a duration"));
    assert!(refusal("events = \"nowhere.ndjson\"").contains("nowhere.ndjson"));
    let unknown = toml::from_str::<ScenarioFile>("[[scenario]]\nname = \"x\"\nsteps = []\n").unwrap_err();
    assert!(unknown.to_string().contains("steps"), "{unknown}");
}

#[test]
fn a_mistake_is_told_when_the_scenario_is_run() {
    let error = Scenario::of("nowhere.wasm").event("no\u{1}type", serde_json::json!(1)).run().unwrap_err();
    assert!(matches!(error, ScenarioError::Malformed(_)), "{error}");
    let error = Scenario::of("nowhere.wasm").run().unwrap_err();
    assert!(error.to_string().contains("nowhere.wasm"), "{error}");
}
