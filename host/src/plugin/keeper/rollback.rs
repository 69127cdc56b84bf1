//! Going back to an earlier generation: by an operator's word, or by a rule in the sidecar.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Declare, Folder, Keeper, Rehearse, SwapError, blocking};
use crate::plugin::archive::{Kept, Pin, short};
use crate::plugin::compile::Digest;
use crate::plugin::generation::Generation;

/// How many commands may wait for the keeper.
pub(super) const QUEUE: usize = 16;

/// What the keeper is asked to do.
#[derive(Debug)]
pub(super) struct Command {
    plugin: String,
    /// The beginning of a digest; the generation before the one that runs if there is none.
    to: Option<String>,
    answer: oneshot::Sender<Result<RolledBack, RollbackError>>,
}

/// A rollback that was done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RolledBack {
    /// The digest of what ran before.
    pub from: String,
    /// The digest of what runs now.
    pub to: String,
    /// Its version.
    pub version: String,
    /// Whether that is what is in the folder.
    pub is_file: bool,
}

/// Why there is no going back.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There is no such plugin.
    #[error("there is no plugin `{0}`")]
    NoPlugin(String),
    /// There is no generation to go back to.
    #[error("{0}")]
    NoGeneration(String),
    /// The generation cannot be loaded.
    #[error("generation {0} cannot be loaded any more: {1}; what runs goes on")]
    Load(String, String),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}

impl Folder {
    /// Goes back to an earlier generation of a plugin: the one whose digest begins so, or the one before that
    /// which runs. It stays until another file is put into the folder.
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

impl<W: Declare + Rehearse> Keeper<W> {
    pub(super) async fn obey(&mut self, command: Command) {
        let Command { plugin, to, answer } = command;
        let result = self.roll_back(&plugin, to.as_deref(), "by hand").await;
        // Nobody waits for it if the client has gone.
        drop(answer.send(result));
    }

    /// Goes back where a sidecar wants it so, and the generation that runs does badly. One that was gone back to
    /// is left alone: its failures have another cause.
    pub(super) async fn roll_back_what_fails(&mut self) {
        let statuses = self.folder.statuses();
        let candidates = statuses.values().filter(|status| status.rolled_back.is_none() && status.kept.len() > 1);
        let names: Vec<_> = candidates.filter_map(|status| status.plugin.clone()).collect();
        for name in names {
            let Some(generation) = self.registry.snapshot().plugins.get(&name).cloned() else { continue };
            let Some(reason) = generation.failing() else { continue };
            match self.roll_back(&name, None, &reason).await {
                Ok(RolledBack { from, to, .. }) => {
                    tracing::error!(plugin = name, from = short(&from), to = short(&to), "rolled back: {reason}");
                }
                // There is nothing to go back to, and that is no news at the next look.
                Err(error) => tracing::debug!(plugin = name, %error, "not rolled back, although {reason}"),
            }
        }
    }

    async fn roll_back(&mut self, plugin: &str, to: Option<&str>, reason: &str) -> Result<RolledBack, RollbackError> {
        let no_plugin = || RollbackError::NoPlugin(plugin.to_owned());
        let live = self.registry.snapshot().plugins.get(plugin).cloned().ok_or_else(no_plugin)?;
        let statuses = self.folder.statuses();
        let found = statuses.into_iter().find(|(_, status)| status.plugin.as_deref() == Some(plugin));
        let (stem, status) = found.ok_or_else(no_plugin)?;
        let target = target(&status.kept, &live.digest, to)?;

        let failed = |error: SwapError| RollbackError::Load(short(&target.digest).to_owned(), error.to_string());
        let (generation, is_file) = self.former(&stem, &target).await.map_err(failed)?;
        if *generation.name != *plugin {
            let reason = format!("it is the plugin `{}`", generation.name);
            return Err(RollbackError::Load(short(&target.digest).to_owned(), reason));
        }
        self.registry.check_routes(plugin, &generation.descriptor.routes).map_err(|error| failed(error.into()))?;
        let pin = self.pin(&stem, &target, reason).await.map_err(failed)?;
        self.put(&generation).await.map_err(failed)?;
        self.folder.set(&stem, Some(super::Status { rolled_back: pin, error: None, ..status }));
        let (from, to) = (live.digest.as_str().to_owned(), target.digest);
        Ok(RolledBack { from, to, version: target.version, is_file })
    }

    /// Loads a generation that is kept. Tells whether it is what is in the folder.
    async fn former(&self, stem: &str, kept: &Kept) -> Result<(Arc<Generation>, bool), SwapError> {
        let (source, digest) = (self.source(stem), kept.digest.clone());
        blocking(move || {
            let bytes = source.archive.read(&source.stem, &digest).map_err(SwapError::Read)?;
            let generation = source.loader.load(&bytes, &source.sidecar()?)?;
            let is_file = Digest::of(&source.bytes()?).as_str() == digest;
            Ok((Arc::new(generation), is_file))
        })
        .await
    }

    /// Stores the word that a generation runs in place of the file that is in the folder; none if it is that file.
    async fn pin(&self, stem: &str, kept: &Kept, reason: &str) -> Result<Option<Pin>, SwapError> {
        let (source, runs, reason, since) =
            (self.source(stem), kept.digest.clone(), reason.to_owned(), self.clock.now());
        blocking(move || {
            let passed_over = Digest::of(&source.bytes()?).as_str().to_owned();
            let pin = (passed_over != runs).then_some(Pin { passed_over, runs, reason, since });
            source.archive.pin(&source.stem, pin.clone()).map_err(SwapError::Keep)?;
            Ok(pin)
        })
        .await
    }
}

/// The generation to go back to.
fn target(kept: &[Kept], live: &Digest, to: Option<&str>) -> Result<Kept, RollbackError> {
    let all = || kept.iter().map(|kept| short(&kept.digest).to_owned()).collect::<Vec<_>>().join(", ");
    let Some(to) = to else {
        let place = kept.iter().position(|kept| kept.digest == live.as_str()).unwrap_or(kept.len());
        let reason = || format!("there is no generation before {}", live.short());
        return kept[..place].last().cloned().ok_or_else(|| RollbackError::NoGeneration(reason()));
    };
    let mut fitting = kept.iter().filter(|kept| kept.digest.starts_with(to));
    match (fitting.next(), fitting.next()) {
        (Some(kept), None) if kept.digest == live.as_str() => {
            Err(RollbackError::NoGeneration(format!("generation {} runs already", live.short())))
        }
        (Some(kept), None) => Ok(kept.clone()),
        (Some(_), Some(_)) => Err(RollbackError::NoGeneration(format!("more than one digest begins with `{to}`"))),
        (None, _) => Err(RollbackError::NoGeneration(format!("no generation `{to}` is kept; there are {}", all()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn the_generation_before_is_meant_unless_another_is_named() {
        let digest = |number: u8| Digest::of(&[number]);
        let kept =
            |number| Kept { digest: digest(number).as_str().to_owned(), version: "1".into(), since: Timestamp(0) };
        let all: Vec<_> = (0..3).map(kept).collect();
        assert_eq!(target(&all, &digest(2), None).unwrap(), all[1]);
        assert_eq!(target(&all, &digest(1), None).unwrap(), all[0]);
        assert!(matches!(target(&all, &digest(0), None), Err(RollbackError::NoGeneration(_))));
        assert_eq!(target(&all, &digest(2), Some(digest(0).short())).unwrap(), all[0]);
        for wrong in ["", "zz", digest(2).short()] {
            assert!(matches!(target(&all, &digest(2), Some(wrong)), Err(RollbackError::NoGeneration(_))), "{wrong}");
        }
    }
}
