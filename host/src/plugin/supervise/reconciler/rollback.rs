//! Going back to an earlier generation: by an operator's word, or by a rule in the sidecar.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::{Command, RollbackError, RolledBack};
use super::loading::{blocking, check_place};
use super::{Declare, Folder, Reconciler, Rehearse, Status, SwapError};
use crate::plugin::manifest::digest::{Digest, short};
use crate::plugin::run::generation::Generation;
use crate::plugin::supervise::folder::Seen;
use crate::plugin::supervise::record::{Kept, Pin, Record};

impl Folder {
    /// Goes back to an earlier generation of a plugin: the one whose digest begins so, or the last one before that
    /// which runs, unless it was rolled back from. It stays until another file is put into the folder.
    ///
    /// # Errors
    /// If there is none, or it cannot be loaded. Then nothing has changed.
    pub async fn roll_back(&self, plugin: &str, to: Option<String>) -> Result<RolledBack, RollbackError> {
        let (answer, answered) = oneshot::channel();
        let command = Command { plugin: plugin.to_owned(), to, answer };
        self.commands.send(command).await.map_err(|_| RollbackError::Stopping)?;
        answered.await.map_err(|_| RollbackError::Stopping)?
    }
}

/// Who goes back.
#[derive(Clone, Copy, Debug)]
enum Why<'a> {
    /// An operator.
    ByHand,
    /// A rule, for a reason.
    Rule(&'a str),
}

impl Why<'_> {
    fn reason(self) -> String {
        match self {
            Self::ByHand => "by hand".to_owned(),
            Self::Rule(reason) => reason.to_owned(),
        }
    }
}

impl<W: Declare + Rehearse> Reconciler<W> {
    pub(super) async fn obey(&mut self, command: Command) {
        let Command { plugin, to, answer } = command;
        let result = self.roll_back(&plugin, to.as_deref(), Why::ByHand).await;
        // Nobody waits for it if the client has gone.
        drop(answer.send(result));
    }

    /// Goes back where a sidecar wants it so, and the generation that runs does badly. One that was gone back to
    /// is left alone: its failures have another cause.
    pub(super) async fn roll_back_what_fails(&mut self) {
        for (stem, status) in self.folder.statuses() {
            let Some((name, reason)) = self.failing(&stem, &status) else { continue };
            match self.roll_back(&name, None, Why::Rule(&reason)).await {
                Ok(RolledBack { from, to, .. }) => {
                    tracing::error!(plugin = name, from = short(&from), to = short(&to), "rolled back: {reason}");
                }
                // There is nothing to go back to, and that is no news at the next look.
                Err(error @ (RollbackError::NoGeneration(_) | RollbackError::Stopping)) => {
                    tracing::debug!(plugin = name, %error, "not rolled back, although {reason}");
                }
                Err(error) => self.note_stuck(&stem, &name, &reason, &error),
            }
        }
    }

    /// The plugin of a file and why it is to be rolled back, if it is.
    fn failing(&self, stem: &str, status: &Status) -> Option<(String, String)> {
        let is_stuck = self.files.get(stem).is_some_and(|known| known.is_stuck);
        if is_stuck || status.rolled_back.is_some() || status.kept.len() < 2 {
            return None;
        }
        let name = status.plugin.clone()?;
        let generation = self.registry.snapshot().plugins.get(&name).cloned()?;
        // Where it is not known since when it runs, nobody can say whether it is new.
        let kept = status.kept.iter().find(|kept| kept.digest == generation.digest.as_str())?;
        let age = self.clock.now().since(kept.since);
        Some((name, generation.failing(age)?))
    }

    /// A generation does badly and stays. That is told once, and not tried again with the same one.
    fn note_stuck(&mut self, stem: &str, plugin: &str, reason: &str, error: &RollbackError) {
        tracing::error!(plugin, %error, "not rolled back, although {reason}");
        self.files.entry(stem.to_owned()).or_default().is_stuck = true;
        if let Some(status) = self.folder.statuses().remove(stem) {
            let error = Some(format!("{reason}, and it could not be rolled back: {error}"));
            self.folder.set(stem, Some(Status { error, ..status }));
        }
    }

    async fn roll_back(&mut self, plugin: &str, to: Option<&str>, why: Why<'_>) -> Result<RolledBack, RollbackError> {
        let no_plugin = || RollbackError::NoPlugin(plugin.to_owned());
        let live = self.registry.snapshot().plugins.get(plugin).cloned().ok_or_else(no_plugin)?;
        let statuses = self.folder.statuses();
        let found = statuses.into_iter().find(|(_, status)| status.plugin.as_deref() == Some(plugin));
        let (stem, status) = found.ok_or_else(no_plugin)?;
        let target = target(&status.kept, &live.digest, to)?;

        let failed = |error: SwapError| RollbackError::Load(short(&target.digest).to_owned(), error.to_string());
        let (generation, file) = tokio::select! {
            () = self.stopping.cancelled() => return Err(RollbackError::Stopping),
            former = self.former(&stem, &target) => former.map_err(failed)?,
        };
        if *generation.name != *plugin {
            let reason = format!("it is the plugin `{}`", generation.name);
            return Err(RollbackError::Load(short(&target.digest).to_owned(), reason));
        }
        check_place(&self.registry, &self.folder, &stem, &generation).map_err(failed)?;
        self.claim(&stem, &generation).await.map_err(failed)?;

        // A rule has nothing against a file that has only just come.
        let spares_file = matches!(why, Why::Rule(_)) && self.has_newer_file(&stem).await;
        let passed_over = if spares_file { &live.digest } else { &file };
        let pin = (passed_over.as_str() != target.digest).then(|| Pin {
            passed_over: passed_over.as_str().to_owned(),
            runs: target.digest.clone(),
            reason: why.reason(),
            since: self.clock.now(),
        });
        // What is being loaded was begun without this word, and beside what goes now.
        self.supersede(&stem);
        let (before, record) = self.store(&stem, &live.digest, &target.digest, pin).await.map_err(failed)?;
        if let Err(error) = self.put(&generation).await {
            self.restore(&stem, before).await;
            return Err(failed(error));
        }
        if let Some(known) = self.files.get_mut(&stem) {
            known.is_stuck = false;
        }
        let (rolled_back, kept) = (record.pin, record.kept);
        self.folder.set(&stem, Some(Status { rolled_back, kept, error: None, ..status }));
        let (from, is_file) = (live.digest.as_str().to_owned(), file.as_str() == target.digest);
        Ok(RolledBack { from, to: target.digest, version: target.version, is_file })
    }

    /// Loads a generation that is kept. Returns the digest of what is in the folder, too.
    async fn former(&self, stem: &str, kept: &Kept) -> Result<(Arc<Generation>, Digest), SwapError> {
        let done = self.files.get(stem).and_then(|known| known.done.as_ref());
        let source = self.source(stem, done.is_some_and(Seen::has_sidecar));
        let digest = kept.digest.clone();
        blocking(move || {
            let bytes = source.archive.read(&source.stem, &digest).map_err(SwapError::Read)?;
            let generation = source.loader.load(&bytes, &source.sidecar()?)?;
            Ok((Arc::new(generation), source.digest()?))
        })
        .await
    }

    /// Whether there is something in the folder that has been neither loaded nor refused so far.
    async fn has_newer_file(&self, stem: &str) -> bool {
        let done = self.files.get(stem).and_then(|known| known.done.clone());
        self.see(stem).await != done
    }

    /// Stores that a generation goes back to another, and the word that it runs in place of a file. Returns the record
    /// as it was and as it is.
    async fn store(
        &self,
        stem: &str,
        from: &Digest,
        to: &str,
        pin: Option<Pin>,
    ) -> Result<(Record, Record), SwapError> {
        let (archive, stem, now) = (self.archive.clone(), stem.to_owned(), self.clock.now());
        let (from, to) = (from.clone(), to.to_owned());
        blocking(move || archive.go_back(&stem, &from, &to, pin, now).map_err(SwapError::Keep)).await
    }

    /// Takes back what was stored.
    async fn restore(&self, stem: &str, before: Record) {
        let (archive, name) = (self.archive.clone(), stem.to_owned());
        if let Err(error) = blocking(move || archive.store(&name, &before).map_err(SwapError::Keep)).await {
            tracing::error!(file = stem, %error, "the word of a rollback that failed could not be taken back; it holds after a restart");
        }
    }
}

/// The generation to go back to: the last one before that was not itself rolled back from, unless one is named.
fn target(kept: &[Kept], live: &Digest, to: Option<&str>) -> Result<Kept, RollbackError> {
    let all = |kept: &[Kept]| kept.iter().map(|kept| short(&kept.digest).to_owned()).collect::<Vec<_>>().join(", ");
    let Some(to) = to else {
        let place = kept.iter().position(|kept| kept.digest == live.as_str()).unwrap_or(kept.len());
        let earlier = &kept[..place];
        let reason = || match earlier {
            [] => format!("there is no generation before {}", live.short()),
            _ => format!("all before {} were rolled back from; name the one to go to: {}", live.short(), all(earlier)),
        };
        let target = earlier.iter().rev().find(|kept| !kept.rolled_back_from);
        return target.cloned().ok_or_else(|| RollbackError::NoGeneration(reason()));
    };
    let mut fitting = kept.iter().filter(|kept| kept.digest.starts_with(to));
    match (fitting.next(), fitting.next()) {
        (Some(kept), None) if kept.digest == live.as_str() => {
            Err(RollbackError::NoGeneration(format!("generation {} runs already", live.short())))
        }
        (Some(kept), None) => Ok(kept.clone()),
        (Some(_), Some(_)) => Err(RollbackError::NoGeneration(format!("more than one digest begins with `{to}`"))),
        (None, _) => Err(RollbackError::NoGeneration(format!("no generation `{to}` is kept; there are {}", all(kept)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn digest(number: u8) -> Digest {
        Digest::of(&[number])
    }

    fn kept(number: u8) -> Kept {
        let digest = digest(number).as_str().to_owned();
        Kept { digest, version: "1".into(), since: Timestamp(0), rolled_back_from: false }
    }

    #[test]
    fn the_generation_before_is_meant_unless_another_is_named() {
        let all: Vec<_> = (0..3).map(kept).collect();
        assert_eq!(target(&all, &digest(2), None).unwrap(), all[1]);
        assert_eq!(target(&all, &digest(1), None).unwrap(), all[0]);
        assert!(matches!(target(&all, &digest(0), None), Err(RollbackError::NoGeneration(_))));
        assert_eq!(target(&all, &digest(2), Some(digest(0).short())).unwrap(), all[0]);
        for wrong in ["", "zz", digest(2).short()] {
            assert!(matches!(target(&all, &digest(2), Some(wrong)), Err(RollbackError::NoGeneration(_))), "{wrong}");
        }
    }

    #[test]
    fn one_that_was_rolled_back_from_is_meant_only_if_it_is_named() {
        let bad = Kept { rolled_back_from: true, ..kept(1) };
        let all = [kept(0), bad.clone(), kept(2)];
        assert_eq!(target(&all, &digest(2), None).unwrap(), all[0]);
        assert_eq!(target(&all, &digest(2), Some(digest(1).short())).unwrap(), bad);
        let error = target(&all[1..], &digest(2), None).unwrap_err();
        assert!(error.to_string().contains(digest(1).short()), "{error}");
    }
}
