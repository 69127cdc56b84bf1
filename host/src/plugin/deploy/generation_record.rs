//! The record of one file's generations: which are archived, and which one is pinned in place of the file.

use std::io;

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, rfc3339};
use crate::plugin::manifest::capabilities::Capabilities;
use crate::plugin::manifest::digest::{Digest, short};

/// How many generations of a plugin are archived.
const MAX_GENERATIONS: usize = 5;

/// An archived generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedGeneration {
    /// The digest of the component.
    pub digest: String,
    /// The version that the plugin declares.
    pub version: String,
    /// When it last took over. A restart does not count.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// Whether it was rolled back from. Such a generation is a rollback target only if it is named.
    #[serde(default)]
    pub rolled_back_from: bool,
    /// What it requested and was granted when it last ran. Records of earlier releases do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

/// The generation that a rollback goes back to.
#[derive(Clone, Debug)]
pub(crate) struct RollbackTarget {
    /// The digest of the component.
    pub(crate) digest: String,
    /// What it is granted now.
    pub(crate) capabilities: Option<Capabilities>,
}

/// Why a prefix of a digest does not select one archived generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrefixError {
    #[error("more than one digest begins with `{0}`; give more of it")]
    Ambiguous(String),
    #[error("no archived generation has a digest that begins with `{prefix}`; choose one of {digests}")]
    Unknown { prefix: String, digests: String },
    #[error("no generation of the plugin is archived")]
    Empty,
}

/// Finds the archived generation whose digest begins with a prefix.
pub(crate) fn find_by_prefix<'a>(
    generations: &'a [ArchivedGeneration],
    prefix: &str,
) -> Result<&'a ArchivedGeneration, PrefixError> {
    let mut matching = generations.iter().filter(|generation| generation.digest.starts_with(prefix));
    match (matching.next(), matching.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(PrefixError::Ambiguous(prefix.to_owned())),
        (None, _) if generations.is_empty() => Err(PrefixError::Empty),
        (None, _) => Err(PrefixError::Unknown { prefix: prefix.to_owned(), digests: short_digests(generations) }),
    }
}

/// The short digests of generations, for a message.
pub(crate) fn short_digests(generations: &[ArchivedGeneration]) -> String {
    generations.iter().map(|generation| short(&generation.digest)).collect::<Vec<_>>().join(", ")
}

/// Runs an archived generation in place of the file in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The digest of the file that is replaced.
    // The name in records of earlier releases.
    #[serde(rename = "passed_over")]
    pub replaces: String,
    /// The digest of the generation that runs.
    pub runs: String,
    /// The reason, for an operator.
    pub reason: String,
    /// The time of the rollback.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// The record of a file's generations cannot be read. The file may have been rolled back from, so it must not be loaded
/// automatically.
#[derive(Debug, thiserror::Error)]
#[error(
    "the record of its generations, {path}, {what}, so it is unknown whether the file was rolled back from; restore the record, or remove it to run the file"
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

/// The generations of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GenerationRecord {
    /// The archived generations, in the order in which they last took over. The last one is running.
    // The name in records of earlier releases.
    #[serde(rename = "kept")]
    pub(crate) generations: Vec<ArchivedGeneration>,
    /// The pin, if the file was rolled back from.
    pub(crate) pin: Option<Pin>,
}

impl GenerationRecord {
    /// The pin that replaces a file, if there is one.
    pub(crate) fn pin_over(&self, digest: &Digest) -> Option<&Pin> {
        self.pin.as_ref().filter(|pin| pin.replaces == digest.as_str())
    }

    pub(super) fn has(&self, digest: &str) -> bool {
        self.generations.iter().any(|generation| generation.digest == digest)
    }

    /// Clears the pin, because the file with this digest runs. A pin that replaces this very file stays.
    pub(super) fn unpin(&mut self, digest: &str) {
        self.pin = self.pin.take().filter(|pin| pin.replaces == digest);
    }

    /// Records that a generation runs. Returns the digests of generations that are no longer archived.
    pub(super) fn take_over(&mut self, generation: ArchivedGeneration) -> Vec<String> {
        if let Some(last) = self.generations.last_mut().filter(|last| last.digest == generation.digest) {
            // Its sidecar may have changed.
            last.capabilities = generation.capabilities;
        } else {
            // A generation that is deployed again as a file no longer counts as rolled back from.
            let rolled_back_from = self.pin.as_ref().is_some_and(|pin| pin.replaces == generation.digest);
            self.generations.retain(|other| other.digest != generation.digest);
            self.generations.push(ArchivedGeneration { rolled_back_from, ..generation });
        }
        self.surplus()
    }

    /// Removes the oldest generations, but never the running or the pinned one.
    fn surplus(&mut self) -> Vec<String> {
        let pinned = self.pin.as_ref().map(|pin| pin.runs.as_str());
        let surplus = &self.generations[..self.generations.len().saturating_sub(MAX_GENERATIONS)];
        let gone =
            surplus.iter().map(|generation| generation.digest.clone()).filter(|digest| Some(digest.as_str()) != pinned);
        let gone: Vec<_> = gone.collect();
        self.generations.retain(|generation| !gone.contains(&generation.digest));
        gone
    }

    /// Records a rollback, and marks the generation that ran before as rolled back from. It is not marked if the target
    /// was itself rolled back from: the rollback then returns to a later generation.
    pub(super) fn roll_back(&mut self, from: &Digest, to: &RollbackTarget, pin: Option<Pin>, now: Timestamp) {
        self.pin = pin;
        let Some(index) = self.generations.iter().position(|generation| generation.digest == to.digest) else { return };
        let target = self.generations.remove(index);
        if let Some(from) = self.generations.iter_mut().find(|generation| generation.digest == from.as_str()) {
            from.rolled_back_from |= !target.rolled_back_from;
        }
        let capabilities = to.capabilities.clone();
        self.generations.push(ArchivedGeneration { since: now, rolled_back_from: false, capabilities, ..target });
    }
}
