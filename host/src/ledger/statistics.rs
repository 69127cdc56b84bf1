//! Counters and distributions of all attempts and requests. They are updated when an attempt or a request ends, so they
//! are complete even if records are sampled or lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::distribution::{Distribution, Percentiles};
use crate::usage::Usage;

/// The length of one slot of the recent past. Slots start at multiples of ten seconds of the UTC clock.
pub(super) const SLOT: Duration = Duration::from_secs(10);
/// The number of slots in a minute.
pub(super) const SLOTS_PER_MINUTE: usize = 6;
/// The largest number of subjects. Plugins may create any number of subscriptions at run time. Beyond this number, all
/// new ones are counted as one subject.
const MAX_SUBJECTS: usize = 10_000;

/// What is counted: a subscription, or the routes of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatisticsSubject {
    /// The attempts of a subscription.
    Subscription {
        /// Its owner.
        owner: String,
        /// Its name.
        name: String,
    },
    /// The requests for a plugin's routes.
    Routes {
        /// The plugin.
        plugin: String,
    },
}

impl StatisticsSubject {
    /// The subject that collects all activity beyond the limit of subjects.
    fn others() -> Self {
        Self::Subscription { owner: "others".to_owned(), name: "others".to_owned() }
    }
}

/// What happened to a subject in a period.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// Attempts that handled their event, or requests with a status below 500.
    pub succeeded: u64,
    /// Failed attempts that are retried.
    pub retried: u64,
    /// Failed attempts that left a dead letter, or requests with a status of 500 or more.
    pub failed: u64,
    /// The processor time.
    pub cpu_time: Duration,
    /// The largest memory of an invocation, in bytes.
    pub memory_bytes: u64,
    pub(super) run: Distribution,
    pub(super) latency: Distribution,
    pub(super) wait: Distribution,
}

/// How an attempt or a request ended, for the counters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Succeeded,
    Retried,
    Failed,
}

impl Activity {
    /// The number of attempts or requests.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.succeeded + self.retried + self.failed
    }

    /// The run times of handlers.
    #[must_use]
    pub fn run(&self) -> Percentiles {
        self.run.percentiles()
    }

    /// The times from the entry into the log, or from the request, to the end.
    #[must_use]
    pub fn latency(&self) -> Percentiles {
        self.latency.percentiles()
    }

    /// The parts of the latencies in which the handler did not run: it waited for its turn, a permit, a retry or the
    /// commit.
    #[must_use]
    pub fn wait(&self) -> Percentiles {
        self.wait.percentiles()
    }

    /// Adds another activity.
    pub fn add(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.retried += other.retried;
        self.failed += other.failed;
        self.cpu_time += other.cpu_time;
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.run.add(&other.run);
        self.latency.add(&other.latency);
        self.wait.add(&other.wait);
    }
}

/// The activity of one subject in the recent past.
#[derive(Debug, Default)]
pub struct SubjectStatistics(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    current: Activity,
    /// The slots of the last minute, oldest first.
    past: VecDeque<Activity>,
}

impl SubjectStatistics {
    pub(super) fn record(&self, ending: Ending, run: Duration, latency: Option<Duration>, usage: &Usage) {
        let mut slots = self.lock();
        let current = &mut slots.current;
        match ending {
            Ending::Succeeded => current.succeeded += 1,
            Ending::Retried => current.retried += 1,
            Ending::Failed => current.failed += 1,
        }
        current.cpu_time += usage.cpu_time;
        current.memory_bytes = current.memory_bytes.max(usage.memory_bytes);
        current.run.record(run);
        if let Some(latency) = latency {
            current.latency.record(latency);
            current.wait.record(latency.saturating_sub(run));
        }
    }

    /// The activity of the last minute, as of the last ten seconds.
    #[must_use]
    pub fn last_minute(&self) -> Activity {
        let slots = self.lock();
        let mut sum = slots.current.clone();
        slots.past.iter().for_each(|slot| sum.add(slot));
        sum
    }

    /// Starts a new slot. Returns the activity of the slot that ends.
    pub(super) fn rotate(&self) -> Activity {
        let mut slots = self.lock();
        let ended = std::mem::take(&mut slots.current);
        slots.past.push_back(ended.clone());
        // With the current slot, that is a minute.
        while slots.past.len() >= SLOTS_PER_MINUTE {
            slots.past.pop_front();
        }
        ended
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statistics of all subjects.
#[derive(Debug, Default)]
pub(super) struct Statistics(Mutex<BTreeMap<StatisticsSubject, Arc<SubjectStatistics>>>);

impl Statistics {
    /// The statistics of a subject. Callers keep the statistics, so counting takes only the lock of the subject.
    pub(super) fn subject(&self, subject: StatisticsSubject) -> Arc<SubjectStatistics> {
        let mut subjects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !subjects.contains_key(&subject);
        let subject = if is_new && subjects.len() >= MAX_SUBJECTS { StatisticsSubject::others() } else { subject };
        Arc::clone(subjects.entry(subject).or_default())
    }

    pub(super) fn all(&self) -> Vec<(StatisticsSubject, Arc<SubjectStatistics>)> {
        let subjects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        subjects.iter().map(|(subject, statistics)| (subject.clone(), Arc::clone(statistics))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(plugin: &str) -> StatisticsSubject {
        StatisticsSubject::Routes { plugin: plugin.to_owned() }
    }

    #[test]
    fn the_last_minute_has_the_last_six_slots() {
        let statistics = Statistics::default();
        let subject = statistics.subject(routes("shop"));
        let usage = Usage { cpu_time: Duration::from_millis(2), memory_bytes: 10, ..Usage::default() };
        for number in 1..=10 {
            subject.record(Ending::Succeeded, Duration::from_millis(number), None, &usage);
            assert_eq!(subject.rotate().succeeded, 1);
        }
        subject.record(Ending::Failed, Duration::from_secs(1), Some(Duration::from_secs(2)), &usage);
        let minute = subject.last_minute();
        assert_eq!((minute.succeeded, minute.failed, minute.count()), (5, 1, 6));
        assert_eq!((minute.cpu_time, minute.memory_bytes), (Duration::from_millis(12), 10));
        assert!(minute.run().max >= Duration::from_secs(1) && minute.run().p50 < Duration::from_millis(12));
        assert!(minute.latency().p50 >= Duration::from_secs(2));
        assert!((Duration::from_secs(1)..Duration::from_millis(1_100)).contains(&minute.wait().p50));
        assert_eq!(statistics.subject(routes("shop")).last_minute().count(), 6, "it is the same subject");
    }

    #[test]
    fn a_bounded_number_of_subjects_is_counted_one_by_one() {
        let statistics = Statistics::default();
        (0..=MAX_SUBJECTS).for_each(|number| drop(statistics.subject(routes(&number.to_string()))));
        statistics.subject(routes("more")).record(Ending::Retried, Duration::ZERO, None, &Usage::default());
        let all = statistics.all();
        assert_eq!(all.len(), MAX_SUBJECTS + 1);
        let others = all.iter().find(|(subject, _)| *subject == StatisticsSubject::others()).unwrap();
        assert_eq!(others.1.last_minute().retried, 1);
    }
}
