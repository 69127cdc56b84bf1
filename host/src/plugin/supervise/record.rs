//! What is known of the generations of one file: which are kept, and what runs in place of the file.

use std::io;

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, rfc3339};
use crate::plugin::manifest::digest::Digest;

/// How many generations of a plugin are kept.
const MAX_GENERATIONS: usize = 5;

/// A generation that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedGeneration {
    /// The digest of its file.
    pub digest: String,
    /// Its version, as it says itself.
    pub version: String,
    /// When it took over last. To be loaded again at a restart is no such thing.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Whether it was rolled back from. Then nobody goes back to it who does not name it.
    #[serde(default)]
    pub rolled_back_from: bool,
}

/// The word that an earlier generation runs in place of what is in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The digest of the file in the folder that is passed over.
    #[serde(rename = "passed_over")]
    pub replaces: String,
    /// The digest of what runs.
    pub runs: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// Why nothing is known of a file's generations. It may have been rolled back from, and so it must not run by itself.
#[derive(Debug, thiserror::Error)]
#[error(
    "the record of its generations, {path}, {what}, and so nobody knows whether it was rolled back from; restore the record, or remove it to run what is in the folder"
)]
pub(crate) struct RecordError {
    pub(super) path: String,
    pub(super) what: String,
}

impl From<RecordError> for io::Error {
    fn from(error: RecordError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// What is known of one file's generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GenerationRecord {
    /// Those that are kept, in the order in which they took over last: what runs is the last one.
    #[serde(rename = "kept")]
    pub(crate) generations: Vec<ArchivedGeneration>,
    /// What runs in place of the file in the folder, if anything does.
    pub(crate) pin: Option<Pin>,
}

impl GenerationRecord {
    /// What runs in place of a file.
    pub(crate) fn pin_over(&self, digest: &Digest) -> Option<&Pin> {
        self.pin.as_ref().filter(|pin| pin.replaces == digest.as_str())
    }

    pub(super) fn has(&self, digest: &str) -> bool {
        self.generations.iter().any(|generation| generation.digest == digest)
    }

    /// The file itself runs: what was said of another one is over. What was said of this one holds for when the
    /// generation that it asks for is there again.
    pub(super) fn unpin(&mut self, digest: &str) {
        self.pin = self.pin.take().filter(|pin| pin.replaces == digest);
    }

    /// A generation has been loaded and runs. Returns what is not kept any more.
    pub(super) fn take_over(&mut self, generation: ArchivedGeneration) -> Vec<String> {
        if self.generations.last().is_none_or(|last| last.digest != generation.digest) {
            // One that comes as a new file is no longer held to be bad.
            let rolled_back_from = self.pin.as_ref().is_some_and(|pin| pin.replaces == generation.digest);
            self.generations.retain(|other| other.digest != generation.digest);
            self.generations.push(ArchivedGeneration { rolled_back_from, ..generation });
        }
        self.surplus()
    }

    /// Takes out the oldest ones, but never what runs: it is the last one.
    fn surplus(&mut self) -> Vec<String> {
        let pinned = self.pin.as_ref().map(|pin| pin.runs.as_str());
        let surplus = &self.generations[..self.generations.len().saturating_sub(MAX_GENERATIONS)];
        let gone =
            surplus.iter().map(|generation| generation.digest.clone()).filter(|digest| Some(digest.as_str()) != pinned);
        let gone: Vec<_> = gone.collect();
        self.generations.retain(|generation| !gone.contains(&generation.digest));
        gone
    }

    /// A generation takes over again from one that is bad. But to go to one that was rolled back from is to go on,
    /// and says nothing against what ran meanwhile.
    pub(super) fn roll_back(&mut self, from: &Digest, to: &str, pin: Option<Pin>, now: Timestamp) {
        self.pin = pin;
        let Some(index) = self.generations.iter().position(|generation| generation.digest == to) else { return };
        let target = self.generations.remove(index);
        if let Some(from) = self.generations.iter_mut().find(|generation| generation.digest == from.as_str()) {
            from.rolled_back_from |= !target.rolled_back_from;
        }
        self.generations.push(ArchivedGeneration { since: now, rolled_back_from: false, ..target });
    }
}
