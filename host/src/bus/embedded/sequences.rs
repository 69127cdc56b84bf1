//! Numbers that plugins draw: unique at once, whatever becomes of the invocation that drew them.
//!
//! The writer reserves a range durably before the first number of it is given away. What is left of a range when the
//! process ends is a gap, and so no crash repeats a number.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::command::Command;
use crate::bus::CommitError;
use crate::bus::group_commit::Queue;
use crate::outcome::SequenceError;

/// How many numbers the first range of a run has. Each further one is twice as long, up to the last.
const FIRST: u64 = 16;
const LONGEST: u64 = 1_024;

/// The most sequences that one plugin may have.
pub(super) const LIMIT: u64 = 1_000;

/// The ranges that this run has reserved.
#[derive(Debug, Default)]
pub(super) struct Sequences(Mutex<HashMap<SequenceKey, Arc<AsyncMutex<ReservedRange>>>>);

/// A plugin and the name of one of its sequences.
type SequenceKey = (String, String);

/// What is left of a range, and how long the next one is.
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
    /// Draws the next number. Whoever gives up waiting leaves a gap at most.
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

    /// One that could not be made takes no memory. Those that wait for it ask the writer as well.
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
