//! Builds units in parallel, and announces slow steps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::build_profile::BuildProfile;
use crate::build_report::BuildReport;
use crate::language::Language;
use crate::unit::BuildUnit;
use crate::{Error, causes};

/// A step is announced if it takes this long. Announcements of one unit are at least this far apart.
const PATIENCE: Duration = Duration::from_secs(1);

/// The result of building a unit.
#[derive(Debug)]
pub struct UnitResult {
    /// Its position among the units.
    pub index: usize,
    /// How long the build took.
    pub took: Duration,
    /// The build's report, or why it could not be started.
    pub report: Result<BuildReport, Error>,
}

/// A message from a build thread.
enum Message {
    Step(usize, String),
    Done(UnitResult),
}

/// Builds units on as many threads as there are cores. `say` receives a line for each step that takes longer than a
/// second, and `done` the result of each unit as soon as it is there. A unit that fails does not stop the others.
pub fn build_all(
    units: &[BuildUnit],
    profile: BuildProfile,
    colour: bool,
    say: &mut dyn FnMut(&str),
    done: &mut dyn FnMut(UnitResult),
) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, (sender, messages)) = (AtomicUsize::new(0), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..cores.min(units.len()) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while let Some((index, unit)) = take(next, units) {
                    build_one(index, unit, profile, colour, &sender);
                }
            });
        }
        drop(sender);
        let mut running: Vec<Option<Step>> = units.iter().map(|_| None).collect();
        loop {
            match messages.recv_timeout(Duration::from_millis(100)) {
                Ok(Message::Step(index, text)) => Step::advance(&mut running[index], text),
                Ok(Message::Done(result)) => {
                    running[result.index] = None;
                    done(result);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for (unit, step) in units.iter().zip(&mut running) {
                if let Some(text) = step.as_mut().and_then(|step| step.due(Instant::now())) {
                    say(&format!("{}: {text}", names(unit)));
                }
            }
        }
    });
}

fn take<'a>(next: &AtomicUsize, units: &'a [BuildUnit]) -> Option<(usize, &'a BuildUnit)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    units.get(index).map(|unit| (index, unit))
}

fn build_one(index: usize, unit: &BuildUnit, profile: BuildProfile, colour: bool, sender: &Sender<Message>) {
    let started = Instant::now();
    // The receiver outlives the threads.
    let step = |text: &str| drop(sender.send(Message::Step(index, text.to_owned())));
    step(first_step(unit));
    let report = unit.build(profile, colour, &mut { step });
    drop(sender.send(Message::Done(UnitResult { index, took: started.elapsed(), report })));
}

fn first_step(unit: &BuildUnit) -> &'static str {
    match unit.projects.first().map(|project| project.language) {
        Some(Language::Rust) | None => "running cargo",
        Some(Language::JavaScript) => "bundling the modules into a component",
        Some(Language::Python) => "putting the modules and Python into a component",
        Some(Language::Go) => "running go build",
    }
}

fn names(unit: &BuildUnit) -> String {
    const MOST: usize = 3;
    let names: Vec<_> = unit.projects.iter().map(|project| project.name.as_str()).collect();
    match names.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

/// What a unit's build is doing.
struct Step {
    text: String,
    /// When the step began, or the last announcement was made.
    since: Instant,
    is_announced: bool,
}

impl Step {
    fn advance(current: &mut Option<Self>, text: String) {
        match current {
            // Short steps of a long build, such as cargo's crates, are announced once a second.
            Some(step) => (step.text, step.is_announced) = (text, false),
            None => *current = Some(Self { text, since: Instant::now(), is_announced: false }),
        }
    }

    /// The text to announce now, if it is due.
    fn due(&mut self, now: Instant) -> Option<&str> {
        if self.is_announced || now.duration_since(self.since) < PATIENCE {
            return None;
        }
        (self.since, self.is_announced) = (now, true);
        Some(&self.text)
    }
}

impl UnitResult {
    /// The reason why the build could not be started.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.report.as_ref().err().map(|error| causes(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_announced_after_a_second_and_the_next_one_a_second_later() {
        let mut step = None;
        Step::advance(&mut step, "resolving".to_owned());
        let begun = step.as_ref().unwrap().since;
        let mut due = |after: u64| step.as_mut().unwrap().due(begun + Duration::from_millis(after)).map(str::to_owned);
        assert_eq!(due(900), None);
        assert_eq!(due(1_000).as_deref(), Some("resolving"));
        assert_eq!(due(3_000), None, "it is announced once");
        Step::advance(&mut step, "compiling a".to_owned());
        Step::advance(&mut step, "compiling b".to_owned());
        let mut due = |after: u64| step.as_mut().unwrap().due(begun + Duration::from_millis(after)).map(str::to_owned);
        assert_eq!(due(1_500), None, "too soon after the last one");
        assert_eq!(due(2_000).as_deref(), Some("compiling b"));
    }

    /// Nothing is built here: each of the units fails in its own way.
    #[test]
    fn each_unit_has_its_result_and_none_stops_the_others() {
        let home = tempfile::tempdir().unwrap();
        let unit = |name: &str, manifest: &str| {
            let directory = home.path().join(name);
            crate::files::write_file(&directory.join("package.json"), manifest).unwrap();
            let project = crate::Project {
                name: name.to_owned(),
                directory,
                language: Language::JavaScript,
                path_dependencies: Vec::new(),
                package: None,
                single_file: None,
            };
            BuildUnit { projects: vec![project] }
        };
        let units: Vec<_> =
            (0..9).map(|n| unit(&format!("p{n}"), r#"{ "name": "p", "sandbus": { "engine": "v8" } }"#)).collect();
        let mut results = Vec::new();
        build_all(&units, BuildProfile::Quick, false, &mut |_| {}, &mut |result| {
            results.push((result.index, result.error()))
        });
        results.sort();
        assert_eq!(results.len(), 9);
        for (index, (position, error)) in results.into_iter().enumerate() {
            assert_eq!(index, position);
            assert!(error.unwrap().contains("sandbus.engine is `v8`"));
        }
        build_all(&[], BuildProfile::Quick, false, &mut |_| {}, &mut |_| unreachable!());
    }

    #[test]
    fn units_of_many_projects_are_named_in_short() {
        let project = |name: &str| crate::Project {
            name: name.to_owned(),
            directory: "/p".into(),
            language: Language::Rust,
            path_dependencies: Vec::new(),
            package: None,
            single_file: None,
        };
        let unit = |names: &[&str]| BuildUnit { projects: names.iter().map(|name| project(name)).collect() };
        assert_eq!(names(&unit(&["a", "b", "c"])), "a, b, c");
        assert_eq!(names(&unit(&["a", "b", "c", "d", "e"])), "a, b, c and 2 more");
    }
}
