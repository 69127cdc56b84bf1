//! The events and requests in scenario files, as samples for publishing by hand.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::ScenarioError;
use super::files::{mentions_scenarios, scenario_files, shared_paths};
use super::spec::{Action, ScenarioFile, StepSpec, parse_events};
use crate::event::Event;
use crate::files::links::LinkRoots;

/// The largest scenario file, or file of events, that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The largest number of scenario files that are read.
const MAX_FILES: usize = 200;
/// The largest number of samples.
const MAX_SAMPLES: usize = 500;

/// Where the scenario files of a host are. Clones share the places, which may change while the host runs.
#[derive(Clone, Debug)]
pub struct ScenarioPaths(Arc<RwLock<Places>>);

#[derive(Debug)]
struct Places {
    /// The directory from which the files are named. Nothing outside of it is read.
    root: PathBuf,
    /// The files, and the directories with such files. They may not exist.
    paths: Vec<PathBuf>,
}

/// The samples of all scenario files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The samples, in the order of the files and their steps.
    pub samples: Vec<Sample>,
    /// The files and steps that cannot be read.
    pub faults: Vec<SampleFault>,
    /// How many files and samples are left out, because there are too many.
    pub omitted: usize,
}

/// An event or a request of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The scenario file.
    pub file: String,
    /// The name of the scenario.
    pub scenario: String,
    /// The number of the step, from 1.
    pub step: usize,
    /// What the step sends.
    pub kind: SampleKind,
}

/// What a step sends.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleKind {
    /// An event.
    Event(Event),
    /// A request.
    Request {
        /// The method.
        method: String,
        /// The path and query.
        target: String,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
}

/// Why a file or a step gives no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleFault {
    /// The scenario file.
    pub file: String,
    /// The reason.
    pub reason: String,
}

impl ScenarioPaths {
    /// The scenario files of a directory of components, as `sandbus test DIRECTORY` finds them.
    #[must_use]
    pub fn of_directory(directory: &Path) -> Self {
        let places = Places { root: directory.to_owned(), paths: shared_paths(directory) };
        Self(Arc::new(RwLock::new(places)))
    }

    /// Replaces the places. Files are named from `root`.
    pub fn set(&self, root: &Path, paths: Vec<PathBuf>) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *places = Places { root: root.to_owned(), paths };
    }

    /// Reads all samples. Blocks.
    #[must_use]
    pub fn read(&self) -> Samples {
        let (root, paths) = {
            let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
            (places.root.clone(), places.paths.clone())
        };
        let mut read = Samples::default();
        let mut seen = BTreeSet::new();
        for path in paths {
            match scenario_files(&path) {
                Ok(files) => {
                    for file in files {
                        // The directory of all projects may itself be a project.
                        if seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                            read.add_file(&root, &file, seen.len());
                        }
                    }
                }
                Err(error) => read.faults.push(SampleFault { file: name(&root, &path), reason: error.to_string() }),
            }
        }
        read
    }
}

impl Samples {
    /// Adds the samples of a file, which is the `number`th one.
    fn add_file(&mut self, root: &Path, path: &Path, number: usize) {
        if number > MAX_FILES {
            self.omitted += 1;
            return;
        }
        let file = name(root, path);
        // Links could lead a reader of samples to any file that the host may read.
        let links = LinkRoots::new([root.to_owned()]);
        let parsed = read_text(&links, path, &file).and_then(|text| match mentions_scenarios(&text) {
            true => ScenarioFile::parse(Path::new(&file), &text).map(Some),
            // A directory of tests has other files too.
            false => Ok(None),
        });
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return self.faults.push(SampleFault { file, reason: error.to_string() }),
        };
        let directory = path.parent().unwrap_or(Path::new("."));
        for scenario in parsed.iter().flat_map(|parsed| &parsed.scenarios) {
            for (index, step) in scenario.steps.iter().enumerate() {
                match kinds(step, index + 1, directory, &links) {
                    Ok(kinds) => {
                        let sample = |kind| Sample {
                            file: file.clone(),
                            scenario: scenario.name.clone(),
                            step: index + 1,
                            kind,
                        };
                        self.add(kinds.into_iter().map(sample));
                    }
                    Err(error) => {
                        let reason = format!("scenario `{}`, step {}: {error}", scenario.name, index + 1);
                        self.faults.push(SampleFault { file: file.clone(), reason });
                    }
                }
            }
        }
    }

    fn add(&mut self, samples: impl Iterator<Item = Sample>) {
        for sample in samples {
            match self.samples.len() < MAX_SAMPLES {
                true => self.samples.push(sample),
                false => self.omitted += 1,
            }
        }
    }
}

/// What a step sends. Empty if it only lets time pass.
fn kinds(
    step: &StepSpec,
    number: usize,
    directory: &Path,
    links: &LinkRoots,
) -> Result<Vec<SampleKind>, ScenarioError> {
    let events = |file: &str| parse_events(Path::new(file), &read_text(links, &directory.join(file), file)?);
    Ok(match step.parse_with(number, events)?.action {
        Action::Publish(events) => events.into_iter().map(SampleKind::Event).collect(),
        Action::Request { method, target, headers, body } => {
            vec![SampleKind::Request { method, target, headers, body }]
        }
        Action::Advance(_) => Vec::new(),
    })
}

/// Reads a file that is inside the known directories and not too large. Messages call it by `name`.
fn read_text(links: &LinkRoots, path: &Path, name: &str) -> Result<String, ScenarioError> {
    let read = || {
        let file = links.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut text = String::new();
        match file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)? as u64 {
            ..=MAX_FILE_BYTES => Ok(text),
            _ => Err(io::Error::other(format!("samples are read from files of up to {MAX_FILE_BYTES} bytes"))),
        }
    };
    read().map_err(|error| ScenarioError::Read { path: name.into(), error })
}

/// The name of a path for people: from the root, or else its last part.
fn name(root: &Path, path: &Path) -> String {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (root, path) = (absolute(root), absolute(path));
    let relative = path.strip_prefix(&root).ok().filter(|rest| !rest.as_os_str().is_empty());
    let shown = relative.map(Path::as_os_str).or(path.file_name()).unwrap_or_default();
    shown.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of components with scenario files in `tests`.
    fn directory(files: &[(&str, &str)]) -> (tempfile::TempDir, ScenarioPaths) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tests")).unwrap();
        for (file, text) in files {
            std::fs::write(directory.path().join(file), text).unwrap();
        }
        let paths = ScenarioPaths::of_directory(directory.path());
        (directory, paths)
    }

    #[test]
    fn events_and_requests_of_steps_are_samples() {
        let scenarios = r#"
            [[scenario]]
            name = "an order"
            [[scenario.step]]
            event = "order.placed"
            subject = "7"
            attributes = { region = "eu" }
            data = { item = "tea" }
            [[scenario.step]]
            advance = "1h"
            [[scenario.step]]
            request = "POST /orders?a=b"
            json = { item = "tea" }
            [[scenario.step]]
            events = "recorded.jsonl"
        "#;
        let recorded = concat!(
            r#"{"specversion":"1.0","id":"r1","source":"/shop","type":"order.paid"}"#,
            "\n",
            r#"{"specversion":"1.0","id":"r2","source":"/shop","type":"order.sent"}"#
        );
        let (_directory, paths) = directory(&[
            ("tests/shop.toml", scenarios),
            ("tests/recorded.jsonl", recorded),
            ("tests/fixture.json", "{}"),
            ("other.toml", "[[scenario]]\nname = \"not here\"\n"),
        ]);
        let read = paths.read();
        assert_eq!((read.faults, read.omitted), (Vec::new(), 0));
        let steps: Vec<_> = read.samples.iter().map(|sample| (sample.file.as_str(), sample.step)).collect();
        let file = "tests/shop.toml";
        assert_eq!(steps, [(file, 1), (file, 3), (file, 4), (file, 4)]);
        assert!(read.samples.iter().all(|sample| sample.scenario == "an order"));
        let SampleKind::Event(event) = &read.samples[0].kind else { panic!("{:?}", read.samples[0]) };
        assert_eq!((event.event_type.as_str(), event.subject.as_deref()), ("order.placed", Some("7")));
        assert!(event.to_json().contains(r#""region":"eu""#));
        let SampleKind::Request { method, target, body, .. } = &read.samples[1].kind else { panic!() };
        assert_eq!(
            (method.as_str(), target.as_str(), body.as_slice()),
            ("POST", "/orders?a=b", br#"{"item":"tea"}"#.as_slice())
        );
        let SampleKind::Event(last) = &read.samples[3].kind else { panic!() };
        assert_eq!(last.id, "r2");
    }

    #[test]
    fn what_cannot_be_read_is_reported_and_the_rest_is_read() {
        let wrong =
            "[[scenario]]\nname = \"x\"\n[[scenario.step]]\nevent = \"a\"\n[[scenario.step]]\nevents = \"gone\"\n";
        let large = format!("[[scenario]]\n#{}", "x".repeat(1 << 20));
        let (_directory, paths) = directory(&[
            ("scenarios.toml", wrong),
            ("tests/large.toml", &large),
            ("tests/typo.toml", "[[scenario]]\nnames = \"x\"\n"),
        ]);
        let read = paths.read();
        assert_eq!(read.samples.len(), 1, "{read:?}");
        let faults: Vec<_> = read.faults.iter().map(|fault| fault.file.as_str()).collect();
        assert_eq!(faults, ["scenarios.toml", "tests/large.toml", "tests/typo.toml"]);
        assert!(read.faults[0].reason.contains("scenario `x`, step 2: cannot read gone"), "{:?}", read.faults);
        assert!(read.faults[1].reason.contains("bytes"), "{:?}", read.faults);
        assert!(read.faults[2].reason.starts_with("tests/typo.toml: "), "{:?}", read.faults);
    }

    #[test]
    fn nothing_outside_the_directory_is_read() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "[[scenario]]\nsecret = 1\n").unwrap();
        let step = format!("[[scenario]]\nname = \"x\"\n[[scenario.step]]\nevents = {:?}\n", secret.path());
        let (directory, paths) = directory(&[("scenarios.toml", &step)]);
        std::os::unix::fs::symlink(secret.path(), directory.path().join("tests/link.toml")).unwrap();
        let read = paths.read();
        assert_eq!((read.samples.len(), read.faults.len()), (0, 2), "{read:?}");
        assert!(read.faults.iter().all(|fault| fault.reason.contains("outside the directories")), "{read:?}");
        assert!(!format!("{read:?}").contains("secret"), "{read:?}");
    }

    #[test]
    fn there_is_a_limit_and_the_rest_is_counted() {
        let step = "[[scenario.step]]\nevent = \"a\"\n";
        let many = format!("[[scenario]]\nname = \"x\"\n{}", step.repeat(MAX_SAMPLES + 7));
        let (_directory, paths) = directory(&[("scenarios.toml", &many)]);
        let read = paths.read();
        assert_eq!((read.samples.len(), read.omitted), (MAX_SAMPLES, 7));
    }

    #[test]
    fn other_places_replace_the_former_ones_for_all_clones() {
        let scenario = |name: &str| format!("[[scenario]]\nname = \"{name}\"\n[[scenario.step]]\nevent = \"a\"\n");
        let (_first, paths) = directory(&[("scenarios.toml", &scenario("first"))]);
        let (second, _) = directory(&[("greet.scenarios.toml", &scenario("second"))]);
        let clone = paths.clone();
        let file = second.path().join("greet.scenarios.toml");
        // One path twice gives its samples once.
        paths.set(second.path(), vec![file.clone(), file, second.path().join("nothing")]);
        let read = clone.read();
        let names: Vec<_> = read.samples.iter().map(|sample| (&*sample.scenario, &*sample.file)).collect();
        assert_eq!(names, [("second", "greet.scenarios.toml")]);
        assert_eq!(read.faults, []);
    }
}
