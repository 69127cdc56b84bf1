//! The thread that writes the ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::config::LedgerConfig;
use super::queue::Loss;
use super::record::Entry;
use super::shared::Shared;
use super::statistics::{Activity, SLOT, SLOTS_PER_MINUTE, Subject};
use super::store::{MinuteRow, Store, StoreError, set_aside};
use crate::clock::Timestamp;
use crate::duration::micros;

/// How often the queue is written.
const INTERVAL: Duration = Duration::from_millis(100);
/// The number of records in one transaction.
const BATCH: usize = 2_000;
/// How long a file that cannot be written is left alone.
const PAUSE: Duration = Duration::from_secs(2);
/// The number of steps of retention per minute. Together they delete more than can be recorded in a minute by default.
const RETENTION_STEPS: usize = 16;

/// The backlog of a subscription, by its owner and name, for the aggregates.
pub type BacklogSource = Box<dyn Fn(&str, &str) -> Option<u64> + Send>;

/// The thread that writes. Dropping it writes what is queued, and joins the thread.
#[derive(Debug)]
pub(super) struct Writer {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        path: PathBuf,
        config: LedgerConfig,
        shared: Arc<Shared>,
        backlogs: BacklogSource,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut work = Work::new(path, config, shared, backlogs);
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                work.step();
            }
            work.write_queue();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported a panic.
            drop(thread.join());
        }
    }
}

struct Work {
    path: PathBuf,
    config: LedgerConfig,
    shared: Arc<Shared>,
    backlogs: BacklogSource,
    store: Option<Store>,
    /// When to try again to open or write the file. None while it works.
    paused_until: Option<Instant>,
    /// Whether the file belongs to another version, and is left alone.
    is_foreign: bool,
    /// Records that were lost and are not yet stored as a gap, with the reason.
    unstored_loss: Option<(Loss, String)>,
    slot_ends: Instant,
    slots: usize,
    /// The sums of the slots of this minute.
    minute: BTreeMap<Subject, Activity>,
}

impl Work {
    fn new(path: PathBuf, config: LedgerConfig, shared: Arc<Shared>, backlogs: BacklogSource) -> Self {
        let mut work = Self {
            path,
            config,
            shared,
            backlogs,
            store: None,
            paused_until: None,
            is_foreign: false,
            unstored_loss: None,
            slot_ends: Instant::now() + SLOT,
            slots: 0,
            minute: BTreeMap::new(),
        };
        work.open();
        work
    }

    fn step(&mut self) {
        if self.store.is_none() && self.paused_until.is_some_and(|until| until <= Instant::now()) {
            self.open();
        }
        self.write_queue();
        if self.slot_ends <= Instant::now() {
            self.slot_ends += SLOT;
            self.end_slot();
        }
    }

    /// Opens the file. A damaged one is set aside, and a new one is created.
    fn open(&mut self) {
        let mut opened = Store::open(&self.path);
        if let Err(StoreError::Damaged(reason)) = &opened {
            match set_aside(&self.path, self.shared.clock.now()) {
                Ok(aside) => {
                    tracing::error!(
                        "the ledger {} is damaged ({reason}); it is now {}, and a new ledger is created; events, deliveries and state are not affected",
                        self.path.display(),
                        aside.display()
                    );
                    opened = Store::open(&self.path);
                }
                Err(error) => opened = Err(StoreError::Unavailable(error.to_string())),
            }
        }
        match opened {
            Ok(store) => self.use_store(store),
            Err(error) => self.pause(&error),
        }
    }

    fn use_store(&mut self, store: Store) {
        if self.paused_until.take().is_some() {
            tracing::info!("the ledger {} can be written again", self.path.display());
        }
        self.store = Some(store);
        self.shared.set_available(true);
    }

    /// Leaves the file alone for a while; for as long as the host runs, if it belongs to another version.
    fn pause(&mut self, error: &StoreError) {
        self.store = None;
        self.shared.set_available(false);
        let is_known = self.is_foreign || self.paused_until.is_some();
        self.is_foreign = matches!(error, StoreError::Version(_));
        self.paused_until = (!self.is_foreign).then(|| Instant::now() + PAUSE);
        if !is_known {
            let path = self.path.display();
            let advice = match error {
                StoreError::Version(_) => {
                    "; run the Sandbus that wrote it, or move the file away to start a new ledger"
                }
                _ => "; trying again every few seconds",
            };
            tracing::warn!(
                "the ledger {path} cannot be used: {error}; attempts are not recorded, everything else works{advice}"
            );
        }
    }

    fn write_queue(&mut self) {
        loop {
            let (entries, refused) = self.shared.queue.take(BATCH);
            if let Some(loss) = refused {
                self.note_loss(loss, "the queue of the ledger was full");
            }
            if entries.is_empty() && (self.unstored_loss.is_none() || self.store.is_none()) {
                return;
            }
            let gap = self.unstored_loss.as_ref().map(|(loss, reason)| (*loss, reason.as_str()));
            let written = self.store.as_mut().map(|store| store.write(&entries, gap));
            match written {
                Some(Ok(())) => {
                    self.unstored_loss = None;
                    self.shared.count_written(entries.len() as u64);
                }
                Some(Err(error)) => {
                    self.lose(&entries, "the file of the ledger could not be written");
                    self.fail(&error);
                }
                None => self.lose(&entries, "the file of the ledger could not be opened"),
            }
            if entries.len() < BATCH {
                return;
            }
        }
    }

    /// Reacts to an error of the open file.
    fn fail(&mut self, error: &StoreError) {
        self.store = None;
        match error {
            StoreError::Damaged(_) => self.open(),
            _ => self.pause(error),
        }
    }

    fn lose(&mut self, entries: &[Arc<Entry>], reason: &str) {
        if let Some(loss) = Loss::of(entries) {
            self.shared.count_lost(loss.count);
            self.note_loss(loss, reason);
        }
    }

    fn note_loss(&mut self, loss: Loss, reason: &str) {
        let earlier = self.unstored_loss.take();
        let (loss, reason) = match earlier {
            Some((earlier, reason)) => (earlier.and(Some(loss)), reason),
            None => (loss, reason.to_owned()),
        };
        self.unstored_loss = Some((loss, reason));
    }

    /// Ends a slot of the statistics, and every sixth time a minute.
    fn end_slot(&mut self) {
        for (subject, statistics) in self.shared.statistics.all() {
            let ended = statistics.rotate();
            self.minute.entry(subject).or_default().add(&ended);
        }
        self.slots += 1;
        if self.slots < SLOTS_PER_MINUTE {
            return;
        }
        self.slots = 0;
        self.end_minute();
    }

    fn end_minute(&mut self) {
        let minute = self.shared.clock.now().0 / 60_000;
        let backlog = |subject: &Subject| match subject {
            Subject::Subscription { owner, name } => (self.backlogs)(owner, name),
            Subject::Routes { .. } => None,
        };
        let rows = std::mem::take(&mut self.minute).into_iter().map(|(subject, activity)| {
            let backlog = backlog(&subject);
            MinuteRow { minute, subject, activity, backlog }
        });
        // A subject that did nothing and has nothing to do needs no row.
        let rows: Vec<_> =
            rows.filter(|row| row.activity.count() > 0 || row.backlog.is_some_and(|backlog| backlog > 0)).collect();
        let now = self.shared.clock.now();
        let before = |age: Duration| Timestamp(now.0.saturating_sub(micros(age) / 1_000));
        let (records_from, minutes_from) = (before(self.config.retain_for), before(self.config.retain_aggregates_for));
        let max_bytes = self.config.retain_bytes;
        let Some(store) = &mut self.store else { return };
        let mut result = store.write_minutes(&rows);
        for _ in 0..RETENTION_STEPS {
            match result.and_then(|()| store.retain(records_from, minutes_from, max_bytes)) {
                Ok(true) => result = Ok(()),
                Ok(false) => return,
                Err(error) => return self.fail(&error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
