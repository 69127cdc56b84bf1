//! Inspects a component without a running host: its exports, its imports and, if the host accepts it, its descriptor.
//! `sandbus inspect` and `sandbus build` print the result.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use sandbus_toolchain::{cache_directory, causes};
use serde::Serialize;

use super::output::{cell, list};
use crate::config::SandboxConfig;
use crate::plugin::{
    ComponentInterface, Descriptor, Digest, Environment, ImportName, LoadError, Loader, Sidecar, Symlinks,
    as_component, read_plugin, read_sidecar,
};
use crate::printable;

/// The result of inspecting a component.
#[derive(Debug)]
pub(super) struct Inspection {
    file: PathBuf,
    digest: Digest,
    size_bytes: usize,
    exports: Vec<String>,
    imports: Vec<String>,
    /// The descriptor and the time to get it, or the reason why this host rejects the component.
    loaded: anyhow::Result<(Descriptor, Duration)>,
    /// The keys that a sidecar must add, if there is no sidecar yet.
    wants: Option<String>,
}

impl Inspection {
    /// Inspects a file with the sidecar next to it. Blocks while it compiles.
    pub(super) fn of(file: &Path) -> anyhow::Result<Self> {
        let bytes = read_plugin(file, Symlinks::Follow).with_context(|| format!("cannot read {}", file.display()))?;
        let (exports, imports) = list_interfaces(&bytes).with_context(|| format!("{}", file.display()))?;
        let loaded = load_sidecar(file).and_then(|sidecar| load(&bytes, &sidecar.without_host()));
        let is_alone = !file.with_extension("toml").exists();
        let wants = loaded.as_ref().err().filter(|_| is_alone).and_then(missing_sidecar_hint);
        let (digest, size_bytes) = (Digest::of(&bytes), bytes.len());
        Ok(Self { file: file.to_owned(), digest, size_bytes, exports, imports, loaded, wants })
    }

    /// The file's name without its extension.
    pub(super) fn stem(&self) -> String {
        self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Fails if this host rejects the component even with a sidecar.
    pub(super) fn verdict(self) -> anyhow::Result<()> {
        if self.wants.is_some() {
            return Ok(());
        }
        self.loaded.map(drop).with_context(|| format!("this host rejects {}", self.file.display()))
    }

    /// The result as `--json` prints it.
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

/// An inspected component as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct InspectionView {
    file: PathBuf,
    digest: String,
    size_bytes: usize,
    exports: Vec<String>,
    imports: Vec<String>,
    /// How long the component took to load.
    ready_ms: Option<u128>,
    /// Its descriptor.
    pub(super) descriptor: Option<Descriptor>,
    /// Why this host rejects it.
    error: Option<String>,
    /// What a sidecar must add.
    wants: Option<String>,
}

/// The result as text. Imports of the component model's standards are counted unless it is verbose: nearly every
/// component has the same ones.
pub(super) fn show(inspection: &InspectionView, verbose: bool) -> String {
    let mut lines = Vec::new();
    if let Some(Descriptor { name, version, description, .. }) = &inspection.descriptor {
        let description = description.as_ref().map(|text| format!(": {}", printable::line(text)));
        lines.push(format!("{} {}{}", printable::line(name), cell(version), description.unwrap_or_default()));
    }
    let mut line = |title: &str, text: String| lines.push(format!("{title:<14}{text}"));
    line("file", format!("{}, {} KiB", cell(inspection.file.display()), inspection.size_bytes.div_ceil(1024)));
    line("digest", cell(&inspection.digest));
    if let Some(ready_ms) = inspection.ready_ms {
        line("loaded in", format!("{ready_ms} ms; only the first load of a file compiles it"));
    }
    let (standard, mut imports): (Vec<_>, Vec<_>) =
        inspection.imports.iter().cloned().partition(|name| !verbose && name.starts_with("wasi:"));
    if !standard.is_empty() {
        imports.push(format!("{} interfaces of WASI; `sandbus build --verbose` lists them", standard.len()));
    }
    for (title, names) in [("exports", &inspection.exports), ("imports", &imports)] {
        for (index, name) in names.iter().enumerate() {
            line(if index == 0 { title } else { "" }, cell(name));
        }
    }
    if let Some(wants) = &inspection.wants {
        line("needs", wants.clone());
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

/// What the sidecar must add, if that is the only problem.
fn missing_sidecar_hint(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref() {
        Some(LoadError::Sidecar(error)) if error.wants_sidecar() => {
            Some(format!("{error}; add it to NAME.toml next to the component or the project's manifest"))
        }
        _ => None,
    }
}

/// The names of a component's exports and imports. A core module with a component type is inspected as the component
/// that the host makes from it.
fn list_interfaces(bytes: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let component = as_component(bytes)?;
    let ComponentInterface { imports, exports } = ComponentInterface::of(&component)?;
    Ok((exports, imports.iter().map(ImportName::written).collect()))
}

/// The sidecar next to a file. It describes a component that does not describe itself.
fn load_sidecar(file: &Path) -> anyhow::Result<Sidecar> {
    let path = file.with_extension("toml");
    let mut sidecar = match read_sidecar(&path) {
        Ok(text) => Sidecar::parse(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Sidecar::default(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    sidecar.stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(sidecar)
}

/// Loads a component as the host loads a file of its folder. The compiled code is cached.
fn load(bytes: &[u8], sidecar: &Sidecar) -> anyhow::Result<(Descriptor, Duration)> {
    let sandbox = SandboxConfig::default();
    // One call needs one permit, but a permit covers few core instances and a language's runtime has dozens. The other
    // settings equal those of `sandbus test`, so that both share compiled code.
    let engine = sandbox.engine(8, true);
    let cache = cache_directory()?.join("code");
    let loader = Loader::new(engine, cache, sandbox.plugin_defaults(), Environment::default())?;
    let started = Instant::now();
    let generation = loader.load(bytes, sidecar)?;
    Ok((Arc::unwrap_or_clone(generation.descriptor), started.elapsed()))
}
