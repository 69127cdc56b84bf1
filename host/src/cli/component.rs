//! What a component is, seen from outside of a running host: its exports, its imports, and, if this host could run
//! it, what it says about itself. `sandbus inspect` and `sandbus build` show it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use sandbus_toolchain::{cache_directory, causes};
use serde::Serialize;
use wit_component::DecodedWasm;

use super::output::{cell, list};
use crate::config::SandboxConfig;
use crate::plugin::{
    Descriptor, Digest, EngineConfig, Environment, LoadError, Loader, Sidecar, Symlinks, as_component, read_plugin,
    read_sidecar,
};
use crate::printable;

/// A component, looked at.
#[derive(Debug)]
pub(super) struct Inspection {
    file: PathBuf,
    digest: Digest,
    size_bytes: usize,
    exports: Vec<String>,
    imports: Vec<String>,
    /// What it says about itself and how long that took, or why this host does not take it.
    loaded: anyhow::Result<(Descriptor, Duration)>,
    /// What is still to be said of it in a sidecar, where there is none yet.
    wants: Option<String>,
}

impl Inspection {
    /// Looks at a file, with the sidecar that lies beside it, if one does. Blocks for as long as it compiles.
    pub(super) fn of(file: &Path) -> anyhow::Result<Self> {
        let bytes = read_plugin(file, Symlinks::Follow).with_context(|| format!("{}", file.display()))?;
        let (exports, imports) = list_interfaces(&bytes).with_context(|| format!("{}", file.display()))?;
        let loaded = load_sidecar(file).and_then(|sidecar| load(&bytes, &sidecar));
        let is_alone = !file.with_extension("toml").exists();
        let wants = loaded.as_ref().err().filter(|_| is_alone).and_then(missing_sidecar_hint);
        let (digest, size_bytes) = (Digest::of(&bytes), bytes.len());
        Ok(Self { file: file.to_owned(), digest, size_bytes, exports, imports, loaded, wants })
    }

    /// The file's name without its extension.
    pub(super) fn stem(&self) -> String {
        self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether this host takes it, if need be with a sidecar that is still to be written.
    pub(super) fn verdict(self) -> anyhow::Result<()> {
        if self.wants.is_some() {
            return Ok(());
        }
        self.loaded.map(drop).with_context(|| format!("this host does not take {}", self.file.display()))
    }

    /// What there is to see.
    pub(super) fn view(&self) -> InspectionView {
        let (descriptor, ready_ms, error) = match &self.loaded {
            Ok((descriptor, took)) => (Some(descriptor.clone()), Some(took.as_millis()), None),
            Err(_) if self.wants.is_some() => (None, None, None),
            Err(error) => (None, None, Some(causes(error.as_ref()))),
        };
        InspectionView {
            file: self.file.clone(),
            digest: self.digest.as_str().to_owned(),
            size_bytes: self.size_bytes,
            exports: self.exports.clone(),
            imports: self.imports.clone(),
            ready_ms,
            descriptor,
            error,
            wants: self.wants.clone(),
        }
    }
}

/// A component as `--json` shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct InspectionView {
    file: PathBuf,
    digest: String,
    size_bytes: usize,
    exports: Vec<String>,
    imports: Vec<String>,
    /// How long the host took to get it ready to run.
    ready_ms: Option<u128>,
    /// What it says about itself.
    pub(super) descriptor: Option<Descriptor>,
    /// Why this host does not take it.
    error: Option<String>,
    /// What is still to be said of it in a sidecar.
    wants: Option<String>,
}

/// What there is to see, for a person.
pub(super) fn show(inspection: &InspectionView) -> String {
    let mut lines = Vec::new();
    if let Some(Descriptor { name, version, description, .. }) = &inspection.descriptor {
        let description = description.as_ref().map(|text| format!(": {}", printable::line(text)));
        lines.push(format!("{} {}{}", printable::line(name), cell(version), description.unwrap_or_default()));
    }
    let mut line = |title: &str, text: String| lines.push(format!("{title:<14}{text}"));
    line("file", format!("{}, {} KiB", cell(inspection.file.display()), inspection.size_bytes.div_ceil(1024)));
    line("digest", cell(&inspection.digest));
    if let Some(ready_ms) = inspection.ready_ms {
        line("ready in", format!("{ready_ms} ms"));
    }
    for (title, names) in [("exports", &inspection.exports), ("imports", &inspection.imports)] {
        for (index, name) in names.iter().enumerate() {
            line(if index == 0 { title } else { "" }, cell(name));
        }
    }
    if let Some(wants) = &inspection.wants {
        line("wants", wants.clone());
    }
    if let Some(descriptor) = &inspection.descriptor {
        show_descriptor(descriptor, line);
    }
    lines.join("\n")
}

fn show_descriptor(descriptor: &Descriptor, mut line: impl FnMut(&str, String)) {
    for route in &descriptor.routes {
        line("route", cell(route));
    }
    for subscription in &descriptor.subscriptions {
        line("subscription", format!("{} as {}", cell(&subscription.pattern), cell(&subscription.name)));
    }
    for (name, schedule) in &descriptor.schedules {
        line("schedule", format!("{}: {}", cell(name), cell(&schedule.cron)));
    }
    for (title, patterns) in [("publishes", &descriptor.publishes), ("subscribes", &descriptor.subscribes)] {
        if !patterns.is_empty() {
            line(title, list(patterns));
        }
    }
    for key in &descriptor.config {
        let default = key.default.as_ref().map(|default| format!(" = {default:?}")).unwrap_or_default();
        line("config", format!("{}{default}", cell(&key.name)));
    }
}

/// What a component without a sidecar waits for, if it is nothing else that is in the way.
fn missing_sidecar_hint(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref() {
        Some(LoadError::Mismatch(mismatch)) if mismatch.wants_sidecar() => {
            Some(format!("{mismatch}; write it into NAME.toml beside the component, or beside the project's manifest"))
        }
        _ => None,
    }
}

/// The names of what a component exports and imports. A module that carries its component type is shown as the
/// component that the host makes of it.
fn list_interfaces(bytes: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let component = as_component(bytes)?;
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&component)? else {
        return Err(anyhow!("it is a WIT package and no component"));
    };
    let world = &resolve.worlds[world];
    let [exports, imports] = [&world.exports, &world.imports]
        .map(|items| items.keys().map(|key| resolve.name_world_key(key)).collect::<Vec<_>>());
    Ok((exports, imports))
}

/// The sidecar beside a file, which says what a component is that does not say so itself.
fn load_sidecar(file: &Path) -> anyhow::Result<Sidecar> {
    let path = file.with_extension("toml");
    let mut sidecar = match read_sidecar(&path) {
        Ok(text) => Sidecar::parse(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Sidecar::default(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    sidecar.stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(sidecar)
}

/// Compiles it, unless that was done before, and asks what it is, as the host does with a file in its folder.
fn load(bytes: &[u8], sidecar: &Sidecar) -> anyhow::Result<(Descriptor, Duration)> {
    let sandbox = SandboxConfig::default();
    // One description needs one place; but a place is for few core instances, and a language's runtime has dozens.
    // The other settings are those of `sandbus test`, so that what one of them compiles serves both.
    let engine = EngineConfig { concurrency: 8, memory_bytes: sandbox.max_memory_bytes, source_lines: true };
    let cache = cache_directory()?.join("code");
    let loader = Loader::new(engine, cache, sandbox.plugin_defaults(), Environment::default())?;
    let started = Instant::now();
    let generation = loader.load(bytes, sidecar)?;
    Ok((Arc::unwrap_or_clone(generation.descriptor), started.elapsed()))
}
