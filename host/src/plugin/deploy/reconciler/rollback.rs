//! Rollbacks to an earlier generation: by an operator's command, or by the rule in the sidecar.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::command::{Command, RollbackError, RollbackReport};
use super::loading::{check_conflicts, run_blocking};
use super::{CanaryRunner, FileStatus, Reconciler, ReconcilerHandle, SubscriptionRegistrar, SwapError};
use crate::plugin::deploy::folder::FileFingerprint;
use crate::plugin::deploy::generation_record::{
    ArchivedGeneration, GenerationRecord, Pin, RollbackTarget, find_by_prefix, short_digests,
};
use crate::plugin::manifest::capabilities::Capabilities;
use crate::plugin::manifest::digest::{Digest, short};
use crate::plugin::run::generation::Generation;

impl ReconcilerHandle {
    /// Rolls a plugin back to the generation whose digest begins with `to`, or to the newest one before the running
    /// generation that was not rolled back from. The rollback lasts until another file is put into the folder.
    ///
    /// # Errors
    /// If there is no such generation, or it cannot be loaded. Nothing has changed then.
    pub async fn roll_back(&self, plugin: &str, to: Option<String>) -> Result<RollbackReport, RollbackError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::RollBack { plugin: plugin.to_owned(), to, answer };
        self.commands.send(command).await.map_err(|_| RollbackError::Stopping)?;
        answered.await.map_err(|_| RollbackError::Stopping)?
    }
}

/// The trigger of a rollback.
#[derive(Clone, Copy, Debug)]
enum RollbackTrigger<'a> {
    /// An operator's command.
    Operator,
    /// The rule in the sidecar, with the reason.
    Rule(&'a str),
}

impl RollbackTrigger<'_> {
    fn reason(self) -> String {
        match self {
            Self::Operator => "by hand".to_owned(),
            Self::Rule(reason) => reason.to_owned(),
        }
    }
}

impl<S: SubscriptionRegistrar + CanaryRunner> Reconciler<S> {
    pub(super) async fn handle_command(&mut self, command: Command) {
        match command {
            Command::RollBack { plugin, to, answer } => {
                let result = self.roll_back(&plugin, to.as_deref(), RollbackTrigger::Operator).await;
                // The client may have disconnected.
                drop(answer.send(result));
            }
            Command::ChangeFile { stem, change, answer } => self.change_file(stem, change, answer).await,
            Command::Reload => self.files.values_mut().for_each(super::FileState::forget),
        }
    }

    /// Applies the rollback rules. The rules do not apply to a generation that runs because of a rollback: its failures
    /// have another cause.
    pub(super) async fn roll_back_failing_plugins(&mut self) {
        for (stem, status) in self.handle.statuses() {
            let Some((name, reason)) = self.rollback_due(&stem, &status) else { continue };
            match self.roll_back(&name, None, RollbackTrigger::Rule(&reason)).await {
                Ok(RollbackReport { from, to, .. }) => {
                    tracing::error!(plugin = name, from = short(&from), to = short(&to), "rolled back: {reason}");
                }
                // Logged at debug level, because it would repeat at each scan.
                Err(error @ (RollbackError::NoGeneration(_) | RollbackError::Stopping)) => {
                    tracing::debug!(plugin = name, %error, "not rolled back, although {reason}");
                }
                Err(error) => self.record_failed_rollback(&stem, &name, &reason, &error),
            }
        }
    }

    /// The plugin of a file, and the reason why its rule demands a rollback.
    fn rollback_due(&self, stem: &str, status: &FileStatus) -> Option<(String, String)> {
        let rollback_failed = self.files.get(stem).is_some_and(|state| state.rollback_failed);
        if rollback_failed || status.rolled_back.is_some() || status.generations.len() < 2 {
            return None;
        }
        let name = status.plugin.clone()?;
        let generation = self.registry.snapshot().plugins.get(&name).cloned()?;
        // Without the time of the swap, the rule's window cannot be checked.
        let archived = status.generations.iter().find(|archived| archived.digest == generation.digest.as_str())?;
        let age = self.clock.now().since(archived.since);
        Some((name, generation.rollback_reason(age)?))
    }

    /// Reports a failed rollback by a rule. It is not tried again with the same generation.
    fn record_failed_rollback(&mut self, stem: &str, plugin: &str, reason: &str, error: &RollbackError) {
        tracing::error!(plugin, %error, "not rolled back, although {reason}");
        self.files.entry(stem.to_owned()).or_default().rollback_failed = true;
        if let Some(status) = self.handle.statuses().remove(stem) {
            let error = Some(format!("{reason}, and the rollback failed: {error}"));
            self.handle.set(stem, Some(FileStatus { error, ..status }));
        }
    }

    async fn roll_back(
        &mut self,
        plugin: &str,
        to: Option<&str>,
        trigger: RollbackTrigger<'_>,
    ) -> Result<RollbackReport, RollbackError> {
        let no_plugin = || RollbackError::NoPlugin(plugin.to_owned());
        let running = self.registry.snapshot().plugins.get(plugin).cloned().ok_or_else(no_plugin)?;
        let statuses = self.handle.statuses();
        let found = statuses.into_iter().find(|(_, status)| status.plugin.as_deref() == Some(plugin));
        let (stem, status) = found.ok_or_else(no_plugin)?;
        let target = choose_target(&status.generations, &running.digest, to)?;

        let failed = |error: SwapError| RollbackError::Load(short(&target.digest).to_owned(), error.to_string());
        let (generation, file) = tokio::select! {
            () = self.stopping.cancelled() => return Err(RollbackError::Stopping),
            former = self.load_archived(&stem, &target) => former.map_err(failed)?,
        };
        if *generation.name != *plugin {
            let reason = format!("its component is the plugin `{}`", generation.name);
            return Err(RollbackError::Load(short(&target.digest).to_owned(), reason));
        }
        check_conflicts(&self.registry, &self.handle, &stem, &generation).map_err(failed)?;
        self.take_routes(&stem, &generation).await.map_err(failed)?;

        // The rule judged the running generation, not a newer file that has not been loaded yet.
        let spares_file = matches!(trigger, RollbackTrigger::Rule(_)) && self.has_newer_file(&stem).await;
        let replaces = if spares_file { &running.digest } else { &file };
        let pin = (replaces.as_str() != target.digest).then(|| Pin {
            replaces: replaces.as_str().to_owned(),
            runs: target.digest.clone(),
            reason: trigger.reason(),
            since: self.clock.now(),
        });
        // Cancel loads in progress: they started before this rollback and would replace its target.
        self.cancel_load(&stem);
        let capabilities = Some(Capabilities::of(&generation.descriptor, &generation.settings));
        let to = RollbackTarget { digest: target.digest.clone(), capabilities };
        let (before, record) = self.store(&stem, &running.digest, to, pin).await.map_err(failed)?;
        if let Err(error) = self.activate(&generation).await {
            self.restore(&stem, before).await;
            return Err(failed(error));
        }
        if let Some(state) = self.files.get_mut(&stem) {
            state.rollback_failed = false;
        }
        let (rolled_back, generations) = (record.pin, record.generations);
        self.handle.set(&stem, Some(FileStatus { rolled_back, generations, error: None, ..status }));
        let (from, is_file) = (running.digest.as_str().to_owned(), file.as_str() == target.digest);
        Ok(RollbackReport { from, to: target.digest, version: target.version, is_file })
    }

    /// Loads an archived generation. Also returns the digest of the file in the folder.
    async fn load_archived(
        &self,
        stem: &str,
        target: &ArchivedGeneration,
    ) -> Result<(Arc<Generation>, Digest), SwapError> {
        let processed = self.files.get(stem).and_then(|state| state.processed.as_ref());
        let source = self.source(stem, processed.is_some_and(FileFingerprint::has_sidecar));
        let digest = target.digest.clone();
        run_blocking(move || {
            let started = Instant::now();
            let bytes = source.archive.read(&source.stem, &digest).map_err(SwapError::Read)?;
            let generation = source.load_bytes(&bytes, &source.sidecar()?, started)?;
            Ok((generation, source.digest()?))
        })
        .await
    }

    /// Whether the folder has a version of the file that was neither loaded nor refused yet.
    async fn has_newer_file(&self, stem: &str) -> bool {
        let processed = self.files.get(stem).and_then(|state| state.processed.clone());
        self.fingerprint(stem).await != processed
    }

    /// Records a rollback and its pin. Returns the record before and after.
    async fn store(
        &self,
        stem: &str,
        from: &Digest,
        to: RollbackTarget,
        pin: Option<Pin>,
    ) -> Result<(GenerationRecord, GenerationRecord), SwapError> {
        let (archive, stem, now) = (self.archive.clone(), stem.to_owned(), self.clock.now());
        let from = from.clone();
        run_blocking(move || archive.roll_back(&stem, &from, &to, pin, now).map_err(SwapError::StoreRollback)).await
    }

    /// Restores the record after a rollback that failed.
    async fn restore(&self, stem: &str, before: GenerationRecord) {
        let (archive, name) = (self.archive.clone(), stem.to_owned());
        if let Err(error) =
            run_blocking(move || archive.write_record(&name, &before).map_err(SwapError::StoreRollback)).await
        {
            tracing::error!(file = stem, %error, "could not undo the pin of a failed rollback; it takes effect at the next restart");
        }
    }
}

/// Chooses the generation to go back to. By default, this is the newest generation before the running one, except for
/// generations that were themselves rolled back from.
fn choose_target(
    generations: &[ArchivedGeneration],
    running: &Digest,
    to: Option<&str>,
) -> Result<ArchivedGeneration, RollbackError> {
    let none = |reason: String| Err(RollbackError::NoGeneration(reason));
    let Some(to) = to else {
        let is_running = |generation: &ArchivedGeneration| generation.digest == running.as_str();
        let earlier = &generations[..generations.iter().position(is_running).unwrap_or(generations.len())];
        return match earlier.iter().rev().find(|generation| !generation.rolled_back_from) {
            Some(target) => Ok(target.clone()),
            None if earlier.is_empty() => none(format!("there is no generation before {}", running.short())),
            None => none(format!(
                "all generations before {} were rolled back from; name one of them: {}",
                running.short(),
                short_digests(earlier)
            )),
        };
    };
    match find_by_prefix(generations, to) {
        Ok(target) if target.digest == running.as_str() => {
            none(format!("generation {} is already running", running.short()))
        }
        Ok(target) => Ok(target.clone()),
        Err(error) => none(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn digest(number: u8) -> Digest {
        Digest::of(&[number])
    }

    fn archived(number: u8) -> ArchivedGeneration {
        let digest = digest(number).as_str().to_owned();
        let (version, since) = ("1".into(), Timestamp(0));
        ArchivedGeneration { digest, version, since, rolled_back_from: false, capabilities: None }
    }

    #[test]
    fn the_default_target_is_the_previous_generation() {
        let all: Vec<_> = (0..3).map(archived).collect();
        assert_eq!(choose_target(&all, &digest(2), None).unwrap(), all[1]);
        assert_eq!(choose_target(&all, &digest(1), None).unwrap(), all[0]);
        assert!(matches!(choose_target(&all, &digest(0), None), Err(RollbackError::NoGeneration(_))));
        assert_eq!(choose_target(&all, &digest(2), Some(digest(0).short())).unwrap(), all[0]);
        for wrong in ["", "zz", digest(2).short()] {
            assert!(
                matches!(choose_target(&all, &digest(2), Some(wrong)), Err(RollbackError::NoGeneration(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_generation_that_was_rolled_back_from_must_be_named() {
        let bad = ArchivedGeneration { rolled_back_from: true, ..archived(1) };
        let all = [archived(0), bad.clone(), archived(2)];
        assert_eq!(choose_target(&all, &digest(2), None).unwrap(), all[0]);
        assert_eq!(choose_target(&all, &digest(2), Some(digest(1).short())).unwrap(), bad);
        let error = choose_target(&all[1..], &digest(2), None).unwrap_err();
        assert!(error.to_string().contains(digest(1).short()), "{error}");
    }
}
