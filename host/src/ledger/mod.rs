//! The attempt ledger: what each recorded attempt and request did, and aggregates of all of them.
//!
//! The ledger is a database of its own, `ledger.db`. Nothing depends on it: a commit never waits for the ledger, and if
//! its disk is full or slow or its file is damaged, only records are lost. A [`Recorder`] puts records into a bounded
//! queue, in which room is reserved for failures, and one thread writes them. Records that are lost are counted, and
//! the times in which records are missing are stored as gaps.
//!
//! Counters and distributions are updated when an attempt ends, before its record enters the queue. So aggregates are
//! complete, even if records are sampled or lost.

mod config;
mod copy;
mod database;
mod distribution;
mod gap;
mod integers;
mod minutes;
mod policy;
mod queue;
mod reader;
mod record;
mod recorder;
mod selection;
mod shared;
mod statistics;
mod stream;
mod writer;

pub use config::{LedgerConfig, Recording};
pub use copy::copy_ledger;
pub use distribution::Percentiles;
pub use gap::Gap;
pub use minutes::{BacklogSource, MinuteAggregate, MinuteFilter};
pub use reader::{AttemptFilter, LedgerReader, ReadError, RequestFilter};
pub use record::{AttemptEntry, AttemptVerdict, Entry, RecordedFailure, RequestEntry};
pub use recorder::{Counters, Ledger, Recorder};
pub use shared::Outage;
pub use statistics::{Activity, StatisticsSubject, SubjectStatistics};
pub use stream::{StreamFollower, StreamItem, StreamPosition};
