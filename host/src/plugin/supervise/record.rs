//! What is known of the generations of one file: which are kept, and what runs in place of the file.

use std::io;

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, rfc3339};
use crate::plugin::manifest::digest::Digest;

/// How many generations of a plugin are kept.
const KEPT: usize = 5;

/// A generation that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
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
    pub passed_over: String,
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
pub(crate) struct Record {
    /// Those that are kept, in the order in which they took over last: what runs is the last one.
    pub(crate) kept: Vec<Kept>,
    /// What runs in place of the file in the folder, if anything does.
    pub(crate) pin: Option<Pin>,
}

impl Record {
    /// What runs in place of a file.
    pub(crate) fn pin_over(&self, digest: &Digest) -> Option<&Pin> {
        self.pin.as_ref().filter(|pin| pin.passed_over == digest.as_str())
    }

    pub(super) fn has(&self, digest: &str) -> bool {
        self.kept.iter().any(|kept| kept.digest == digest)
    }

    /// The file itself runs: what was said of another one is over. What was said of this one holds for when the
    /// generation that it asks for is there again.
    pub(super) fn unpin(&mut self, digest: &str) {
        self.pin = self.pin.take().filter(|pin| pin.passed_over == digest);
    }

    /// A generation has been loaded and runs. Returns what is not kept any more.
    pub(super) fn take_over(&mut self, kept: Kept) -> Vec<String> {
        if self.kept.last().is_none_or(|last| last.digest != kept.digest) {
            // One that comes as a new file is no longer held to be bad.
            let rolled_back_from = self.pin.as_ref().is_some_and(|pin| pin.passed_over == kept.digest);
            self.kept.retain(|other| other.digest != kept.digest);
            self.kept.push(Kept { rolled_back_from, ..kept });
        }
        self.surplus()
    }

    /// Takes out the oldest ones, but never what runs: it is the last one.
    fn surplus(&mut self) -> Vec<String> {
        let pinned = self.pin.as_ref().map(|pin| pin.runs.as_str());
        let surplus = &self.kept[..self.kept.len().saturating_sub(KEPT)];
        let gone = surplus.iter().map(|kept| kept.digest.clone()).filter(|digest| Some(digest.as_str()) != pinned);
        let gone: Vec<_> = gone.collect();
        self.kept.retain(|kept| !gone.contains(&kept.digest));
        gone
    }

    /// A generation takes over again from one that is bad. But to go to one that was rolled back from is to go on,
    /// and says nothing against what ran meanwhile.
    pub(super) fn go_back(&mut self, from: &Digest, to: &str, pin: Option<Pin>, now: Timestamp) {
        self.pin = pin;
        let Some(place) = self.kept.iter().position(|kept| kept.digest == to) else { return };
        let target = self.kept.remove(place);
        if let Some(from) = self.kept.iter_mut().find(|kept| kept.digest == from.as_str()) {
            from.rolled_back_from |= !target.rolled_back_from;
        }
        self.kept.push(Kept { since: now, rolled_back_from: false, ..target });
    }
}
