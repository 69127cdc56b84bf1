//! `docs/scenarios.md` has every key, and its examples are scenarios.

use std::collections::BTreeSet;

use super::preconditions::{PluginPreconditions, Preconditions, StubSpec};
use super::spec::{Expectations, ScenarioFile, ScenarioSpec, StepSpec};
use crate::documented::{blocks, fields_of};
use crate::toml_file;

const PAGE: &str = include_str!("../../../docs/scenarios.md");

/// The names in the first column of the tables below a heading, up to the next one.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.trim_matches(['[', ']']).to_owned()).collect()
}

#[test]
fn every_key_is_documented() {
    assert_eq!(documented("`[[scenario]]`"), {
        let keys = fields_of::<ScenarioSpec>();
        keys.into_iter().map(|key| if key == "step" { "scenario.step".to_owned() } else { key }).collect()
    });
    let given = fields_of::<Preconditions>().union(&fields_of::<StubSpec>()).cloned().collect();
    assert_eq!(documented("`given`"), given);
    assert!(fields_of::<PluginPreconditions>().is_subset(&fields_of::<Preconditions>()));
    assert_eq!(documented("`[[scenario.step]]`"), fields_of::<StepSpec>());
    assert_eq!(documented("`then`"), fields_of::<Expectations>());
    assert_eq!(fields_of::<ScenarioFile>(), ["plugin", "plugins", "scenario"].map(str::to_owned).into());
}

#[test]
fn examples_are_scenarios() {
    let mut count = 0;
    for block in blocks(PAGE).into_iter().filter(|block| block.info.starts_with("toml")) {
        let file: ScenarioFile =
            toml_file::parse(&block.text).unwrap_or_else(|error| panic!("{error}\n{}", block.text));
        let folder = std::path::Path::new(".");
        for (number, step) in file.scenarios.iter().flat_map(|scenario| scenario.steps.iter().enumerate()) {
            step.parse(number + 1, folder).unwrap();
        }
        count += file.scenarios.len();
    }
    assert!(count >= 3);
}

/// The guide that `sandbus new` writes has a scenario, too.
#[test]
fn the_example_of_a_guide_is_a_scenario() {
    const GUIDE: &str = include_str!("../../../guest-sdk/templates/any/AGENTS.md");
    let examples: Vec<_> = blocks(GUIDE).into_iter().filter(|block| block.info.starts_with("toml")).collect();
    assert_eq!(examples.len(), 1);
    let file: ScenarioFile = toml_file::parse(&examples[0].text).unwrap();
    let steps = &file.scenarios[0].steps;
    for (index, step) in steps.iter().enumerate() {
        step.parse(index + 1, std::path::Path::new(".")).unwrap();
    }
    assert_eq!(steps.len(), 3);
}
