//! Where attempts and requests are reported to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::config::LedgerConfig;
use super::database;
use super::minutes::BacklogSource;
use super::reader::LedgerReader;
use super::record::{AttemptEntry, Entry, RequestEntry};
use super::shared::{Outage, Shared};
use super::statistics::{Ending, StatisticsSubject, SubjectStatistics};
use super::stream::{StreamFollower, StreamPosition};
use super::writer::Writer;
use crate::bus::{AttemptRecord, SettledStatus};
use crate::clock::Clock;
use crate::outcome::EffectNames;
use crate::usage::Usage;

/// Records attempts and requests. Clones share the ledger. The default records nothing.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Option<Arc<Shared>>);

/// Counters of the ledger since the start, and its current state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that were written.
    pub written: u64,
    /// Records that were lost.
    pub lost: u64,
    /// The outage, if the file cannot be written now.
    pub outage: Option<Outage>,
}

/// A ledger with its writer. Dropping it writes what is queued and the current minute, and ends the writer.
#[derive(Debug)]
pub struct Ledger {
    recorder: Recorder,
    reader: LedgerReader,
    _writer: Writer,
}

impl Ledger {
    /// Opens the ledger of a data directory. If the file cannot be used, the host logs the reason and continues without
    /// recording.
    ///
    /// # Errors
    /// If the writer's thread cannot be started.
    pub fn open(data: &Path, config: &LedgerConfig, clock: Clock, backlogs: BacklogSource) -> std::io::Result<Self> {
        let path = data.join(database::FILE);
        let shared = Arc::new(Shared::of(config, clock));
        let writer = Writer::start(path.clone(), &shared, backlogs)?;
        let reader = LedgerReader::new(path, Arc::clone(&shared));
        Ok(Self { recorder: Recorder(Some(shared)), reader, _writer: writer })
    }

    /// Where attempts and requests are reported to.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Reads the ledger.
    #[must_use]
    pub fn reader(&self) -> LedgerReader {
        self.reader.clone()
    }
}

impl Recorder {
    /// The statistics of a subject, to report its attempts or requests with.
    #[must_use]
    pub fn subject(&self, subject: StatisticsSubject) -> Option<Arc<SubjectStatistics>> {
        self.0.as_ref().map(|shared| shared.statistics.subject(subject))
    }

    /// The statistics of all subjects.
    #[must_use]
    pub fn subjects(&self) -> Vec<(StatisticsSubject, Arc<SubjectStatistics>)> {
        self.0.as_ref().map(|shared| shared.statistics.all()).unwrap_or_default()
    }

    /// Applies other settings to the records from now on. [`LedgerConfig::record_responses`] stays.
    pub fn reconfigure(&self, config: &LedgerConfig) {
        if let Some(shared) = &self.0 {
            shared.reconfigure(config);
        }
    }

    /// Whether an attempt or a request is to be recorded. Ask once for each: successes are sampled.
    #[must_use]
    pub fn wants(&self, is_failure: bool, took: Duration) -> bool {
        let Some(shared) = &self.0 else { return false };
        shared.stream.is_watched() || shared.policy.load().wants(is_failure, took, shared.clock.now())
    }

    /// Counts an attempt that was committed, and records it if there are names.
    pub fn record_attempt(
        &self,
        subject: Option<&SubjectStatistics>,
        record: &AttemptRecord,
        names: Option<EffectNames>,
        status: SettledStatus,
    ) {
        let Some(shared) = &self.0 else { return };
        let now = shared.clock.now();
        if let Some(subject) = subject {
            let ending = match status {
                SettledStatus::Handled => Ending::Succeeded,
                SettledStatus::Waiting(_) => Ending::Retried,
                SettledStatus::Dead => Ending::Failed,
            };
            let delivery = &record.delivery;
            // Latency is measured only for handled deliveries that are not replays. Other latencies do not describe the
            // performance of the host.
            let has_latency = status == SettledStatus::Handled && !delivery.kind.is_replay();
            let latency = has_latency.then(|| now.since(delivery.logged.stored_at));
            subject.record(ending, record.took, latency, &record.usage);
        }
        if let Some(names) = names {
            shared.push(Entry::Attempt(Box::new(AttemptEntry::new(record, names, status, now))));
        }
    }

    /// Counts a request that has ended.
    pub fn count_request(&self, subject: &SubjectStatistics, is_failure: bool, took: Duration, usage: &Usage) {
        let ending = if is_failure { Ending::Failed } else { Ending::Succeeded };
        subject.record(ending, took.saturating_sub(usage.queued), Some(took), usage);
    }

    /// Records a request that has ended. The recorder sets the time.
    pub fn record_request(&self, request: RequestEntry) {
        if let Some(shared) = &self.0 {
            let request = RequestEntry { at: shared.clock.now(), ..request };
            shared.push(Entry::Request(Box::new(request)));
        }
    }

    /// Follows the records from now on, or after a position. While somebody follows, everything is recorded. None if
    /// there is no ledger.
    #[must_use]
    pub fn follow(&self, after: Option<StreamPosition>) -> Option<StreamFollower> {
        self.0.as_ref().map(|shared| shared.stream.follow(after))
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let Some(shared) = &self.0 else { return Counters::default() };
        Counters { written: shared.written(), lost: shared.lost(), outage: shared.outage() }
    }
}
