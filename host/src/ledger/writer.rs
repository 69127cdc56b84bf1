//! The thread that writes the ledger.

mod outage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::outage::OutageTracker;
use super::database::{FileChange, LedgerDatabase, LedgerError, set_aside};
use super::gap::{Gap, UnstoredGaps};
use super::minutes::{BacklogSource, MinuteCollector};
use super::queue::Loss;
use super::record::Entry;
use super::shared::Shared;

/// How often the queue is written.
const INTERVAL: Duration = Duration::from_millis(100);
/// The number of records in one transaction.
const BATCH: usize = 2_000;
/// The number of steps of retention per minute. Together they delete more than can be recorded in a minute by default.
const RETENTION_STEPS: usize = 16;

/// The thread that writes. Dropping it writes what is queued and the current minute, and joins the thread.
#[derive(Debug)]
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(path: PathBuf, shared: &Arc<Shared>, backlogs: BacklogSource) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut work = Work::new(path, Arc::clone(shared), backlogs);
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                // A reader wakes it before that.
                thread::park_timeout(INTERVAL);
                work.step();
            }
            work.close();
        })?;
        shared.set_writer(thread.thread().clone());
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The panic hook has reported a panic.
            drop(thread.join());
        }
    }
}

struct Work {
    path: PathBuf,
    shared: Arc<Shared>,
    /// Identifies the run of the host.
    run: i64,
    database: Option<LedgerDatabase>,
    outage: OutageTracker,
    /// Records that were taken from the queue and are not written yet.
    batch: Vec<Arc<Entry>>,
    /// How many records were taken from the queue.
    taken: u64,
    gaps: UnstoredGaps,
    minutes: MinuteCollector,
}

impl Work {
    fn new(path: PathBuf, shared: Arc<Shared>, backlogs: BacklogSource) -> Self {
        let now = shared.clock.now();
        let mut work = Self {
            outage: OutageTracker::new(path.clone(), Arc::clone(&shared)),
            path,
            shared,
            run: uuid::Uuid::new_v4().as_u64_pair().0.cast_signed(),
            database: None,
            batch: Vec::new(),
            taken: 0,
            gaps: UnstoredGaps::default(),
            minutes: MinuteCollector::new(backlogs, now),
        };
        work.open();
        work
    }

    fn step(&mut self) {
        self.check_files();
        if self.database.is_none() && self.outage.may_try() {
            self.open();
        }
        self.write_queue();
        let now = self.shared.clock.now();
        let slot_has_ended = self.minutes.advance(&self.shared.statistics, now);
        // After an outage, this shows that the ledger can be written again.
        if (slot_has_ended || self.outage.reason().is_some()) && self.outage.may_try() {
            self.write_database(|database| database.touch(now));
        }
        let minute_has_ended = self.minutes.has_unwritten();
        if minute_has_ended && self.outage.may_try() {
            self.write_minutes();
            self.retain();
        }
        self.outage.end_if_over();
    }

    /// Writes what is left, and marks the ledger as closed.
    fn close(&mut self) {
        self.check_files();
        if self.database.is_none() && !self.outage.is_final() {
            self.open();
        }
        self.outage.try_now();
        self.write_queue();
        self.minutes.finish(&self.shared.statistics);
        self.write_minutes();
        let left = self.batch.len() as u64 + self.shared.queue.len() as u64;
        if left > 0 {
            self.shared.count_lost(left);
            tracing::warn!("the host stops, and the ledger cannot be written: {left} records are lost");
        } else {
            self.write_database(LedgerDatabase::end_run);
        }
    }

    /// Opens the file. A damaged one is set aside, and a new one is created.
    fn open(&mut self) {
        let now = self.shared.clock.now();
        let mut opened = LedgerDatabase::open(&self.path, self.run, now);
        if let Err(LedgerError::Damaged(reason)) = &opened {
            match set_aside(&self.path, now) {
                Ok(aside) => {
                    tracing::error!(
                        "the ledger {} is damaged ({reason}); it is now {}, and a new ledger is created; events, deliveries and state are not affected",
                        self.path.display(),
                        aside.display()
                    );
                    self.note_all_lost("the ledger was damaged, and was replaced by a new one");
                    opened = LedgerDatabase::open(&self.path, self.run, now);
                }
                Err(error) => opened = Err(LedgerError::Unavailable(error.to_string())),
            }
        }
        match opened {
            Ok((database, gap)) => {
                if let Some(gap) = gap {
                    let (path, from, until) = (self.path.display(), gap.from, gap.until);
                    tracing::info!("{}: {path} may lack records from {from} to {until}", gap.reason);
                }
                self.database = Some(database);
                self.outage.note_success();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Opens the file again if it was deleted or replaced.
    fn check_files(&mut self) {
        let change = self.database.as_ref().map_or(FileChange::Unchanged, LedgerDatabase::file_change);
        let path = self.path.display();
        match change {
            FileChange::Unchanged => return,
            FileChange::CompanionReplaced => {
                tracing::warn!("a file next to the ledger {path} was deleted or replaced; the ledger is opened again");
                // Closing it moves everything into the database.
                self.database = None;
            }
            FileChange::Replaced => {
                tracing::warn!(
                    "the ledger {path} was deleted or replaced while the host ran; its records are lost; events, deliveries and state are not affected"
                );
                if let Some(database) = self.database.take() {
                    database.close_replaced();
                }
                self.note_all_lost("the file of the ledger was deleted or replaced while the host ran");
            }
        }
        self.open();
    }

    /// Records a gap: everything that was written before now is lost.
    fn note_all_lost(&mut self, reason: &str) {
        let until = self.shared.clock.now();
        let from = until.before(self.shared.config.load().retain_for);
        self.gaps.add(Gap { from, until, lost: None, reason: reason.to_owned() });
    }

    fn write_queue(&mut self) {
        loop {
            if self.batch.is_empty() {
                self.take_batch();
            }
            if self.outage.is_final() && !self.batch.is_empty() {
                self.lose_batch("a newer version of Sandbus wrote the ledger");
                continue;
            }
            let is_idle = self.batch.is_empty() && self.gaps.all().is_empty();
            if is_idle || !self.outage.may_try() {
                return;
            }
            let now = self.shared.clock.now();
            let Some(database) = &mut self.database else { return };
            let written = database.write(&self.batch, self.gaps.all(), now);
            match self.note_write(written) {
                Written::Done => {
                    self.shared.count_written(self.batch.len() as u64);
                    self.shared.note_settled(self.taken);
                    self.batch.clear();
                    self.gaps = UnstoredGaps::default();
                    // It may find damage, which adds a gap.
                    self.limit_recorded_responses();
                }
                Written::Refused(reason) => self.lose_batch(&format!("they could not be written: {reason}")),
                Written::Failed => {}
            }
        }
    }

    /// Takes the next records from the queue, and notes what the queue has lost.
    fn take_batch(&mut self) {
        let (entries, refused) = self.shared.queue.take(BATCH);
        self.taken += entries.len() as u64;
        self.batch = entries;
        if let Some(loss) = refused {
            let reason = match self.outage.reason() {
                Some(reason) => format!("the ledger could not be written: {reason}"),
                None => "there were more records than the ledger could write".to_owned(),
            };
            self.gaps.add(Gap::of(loss, &reason));
        }
    }

    /// Gives up the records that were taken.
    fn lose_batch(&mut self, reason: &str) {
        if let Some(loss) = Loss::of(&std::mem::take(&mut self.batch)) {
            self.shared.count_lost(loss.count);
            self.gaps.add(Gap::of(loss, reason));
        }
        self.shared.note_settled(self.taken);
    }

    fn write_minutes(&mut self) {
        let Some(database) = &mut self.database else { return };
        let written = database.write_minutes(self.minutes.unwritten());
        match self.note_write(written) {
            Written::Done => self.minutes.note_written(),
            Written::Refused(reason) => {
                tracing::warn!("the aggregates of a minute are lost, because they could not be written: {reason}");
                self.minutes.note_written();
            }
            Written::Failed => {}
        }
    }

    /// Recorded responses take half of the ledger at most, so that they do not displace all other records.
    fn limit_recorded_responses(&mut self) {
        let max_bytes = self.shared.config.load().retain_bytes / 2;
        self.write_database(|database| database.limit_recorded_responses(max_bytes));
    }

    /// Deletes records that are too old, and the oldest records if the ledger is too large.
    fn retain(&mut self) {
        let now = self.shared.clock.now();
        let records_from = now.before(self.shared.config.load().retain_for);
        let minutes_from = now.before(self.shared.config.load().retain_aggregates_for);
        let max_bytes = self.shared.config.load().retain_bytes;
        for _ in 0..RETENTION_STEPS {
            let mut has_more = false;
            self.write_database(|database| {
                has_more = database.retain(records_from, minutes_from, max_bytes)?;
                Ok(())
            });
            if !has_more {
                return;
            }
        }
    }

    fn write_database(&mut self, write: impl FnOnce(&mut LedgerDatabase) -> Result<(), LedgerError>) -> Written {
        let Some(database) = &mut self.database else { return Written::Failed };
        let written = write(database);
        self.note_write(written)
    }

    fn note_write(&mut self, written: Result<(), LedgerError>) -> Written {
        match written {
            Ok(()) => {
                self.outage.note_success();
                Written::Done
            }
            Err(LedgerError::Refused(reason)) => Written::Refused(reason),
            Err(error @ LedgerError::Damaged(_)) => {
                self.fail(&error);
                Written::Refused(error.to_string())
            }
            Err(error) => {
                self.fail(&error);
                Written::Failed
            }
        }
    }

    /// Reacts to an error of the file.
    fn fail(&mut self, error: &LedgerError) {
        match error {
            LedgerError::Damaged(_) if self.database.take().is_some() => self.open(),
            _ => self.outage.begin(error),
        }
    }
}

/// The result of a write.
enum Written {
    /// It is written.
    Done,
    /// The ledger works, but rejected this.
    Refused(String),
    /// The ledger does not work.
    Failed,
}

#[cfg(test)]
mod tests;
