//! Sequences, from which plugins draw unique numbers. A number is used up even if the invocation that drew it fails.
//!
//! The writer durably reserves a range before its first number is used. The unused numbers of a range are lost when
//! the process ends, so no crash repeats a number.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::command::Command;
use crate::bus::CommitError;
use crate::bus::group_commit::Queue;
use crate::outcome::SequenceError;

/// The length of the first range of a run. Each further range is twice as long, up to the maximum.
const FIRST: u64 = 16;
const LONGEST: u64 = 1_024;

/// The maximum number of sequences per plugin.
pub(super) const LIMIT: u64 = 1_000;

/// The ranges that this run has reserved.
#[derive(Debug, Default)]
pub(super) struct Sequences(Mutex<HashMap<SequenceKey, Arc<AsyncMutex<ReservedRange>>>>);

/// A plugin and the name of one of its sequences.
type SequenceKey = (String, String);

/// The unused numbers of a range, and the length of the next one.
#[derive(Debug)]
struct ReservedRange {
    left: Range<u64>,
    next_length: u64,
}

impl Default for ReservedRange {
    fn default() -> Self {
        Self { left: 0..0, next_length: FIRST }
    }
}

impl Sequences {
    /// Draws the next number. Dropping the future while it reserves a range loses the whole range.
    pub(super) async fn draw(&self, commands: &Queue<Command>, plugin: &str, name: &str) -> Result<u64, SequenceError> {
        let sequence = self.sequence(plugin, name);
        let mut reserved = sequence.lock().await;
        if let Some(number) = reserved.left.next() {
            return Ok(number);
        }
        let length = reserved.next_length;
        let range = reserve(commands, plugin, name, length).await;
        let range = range.inspect_err(|_| self.forget(plugin, name))?;
        reserved.left = range;
        reserved.next_length = LONGEST.min(length * 2);
        reserved.left.next().ok_or_else(|| SequenceError::Exhausted(name.to_owned()))
    }

    fn sequence(&self, plugin: &str, name: &str) -> Arc<AsyncMutex<ReservedRange>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry((plugin.to_owned(), name.to_owned())).or_default())
    }

    /// Removes a sequence whose reservation failed, so that sequences that do not exist take no memory. Calls that
    /// already wait for its lock ask the writer themselves.
    fn forget(&self, plugin: &str, name: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(plugin.to_owned(), name.to_owned()));
    }
}

async fn reserve(
    commands: &Queue<Command>,
    plugin: &str,
    name: &str,
    length: u64,
) -> Result<Range<u64>, SequenceError> {
    let (reply, answer) = oneshot::channel();
    let command = Command::Reserve { plugin: plugin.to_owned(), name: name.to_owned(), length, reply };
    let closed = || CommitError::Closed("it is shutting down".to_owned());
    commands.send(command).await.map_err(|_| SequenceError::from(closed()))?;
    Ok(answer.await.unwrap_or_else(|_| Err(closed()))?)
}

impl From<CommitError> for SequenceError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::TooManySequences(limit) => Self::TooMany(limit),
            CommitError::SequenceExhausted(name) => Self::Exhausted(name),
            error => Self::Failed(error.to_string()),
        }
    }
}
