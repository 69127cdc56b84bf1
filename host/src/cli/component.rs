//! What a component is, seen from outside of a running host: its exports, its imports, and, if this host could run
//! it, what it says about itself. `sandbus inspect` and `sandbus build` show it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use sandbus_toolchain::{cache_directory, causes};
use serde_json::{Value, json};
use wit_component::DecodedWasm;

use super::output::cell;
use crate::config::SandboxConfig;
use crate::plugin::{Descriptor, Digest, EngineConfig, LoadError, Loader, Sidecar, World, as_component};
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
        let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let (exports, imports) = world(&bytes).with_context(|| format!("{}", file.display()))?;
        let loaded = sidecar(file).and_then(|sidecar| load(&bytes, &sidecar));
        let is_alone = !file.with_extension("toml").exists();
        let wants = loaded.as_ref().err().filter(|_| is_alone).and_then(wanted);
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

    pub(super) fn to_json(&self) -> Value {
        let (descriptor, ready_ms, error) = match &self.loaded {
            Ok((descriptor, took)) => (json!(descriptor), json!(took.as_millis()), Value::Null),
            Err(_) if self.wants.is_some() => (Value::Null, Value::Null, Value::Null),
            Err(error) => (Value::Null, Value::Null, json!(causes(error.as_ref()))),
        };
        json!({
            "file": self.file,
            "digest": self.digest.as_str(),
            "size_bytes": self.size_bytes,
            "exports": self.exports,
            "imports": self.imports,
            "ready_ms": ready_ms,
            "descriptor": descriptor,
            "error": error,
            "wants": self.wants,
        })
    }
}

/// What there is to see, for a person.
pub(super) fn show(inspection: &Value) -> String {
    let descriptor = &inspection["descriptor"];
    let mut lines = Vec::new();
    if let Some(name) = descriptor["name"].as_str() {
        let description = descriptor["description"].as_str().map(|text| format!(": {}", printable::line(text)));
        let (name, version) = (printable::line(name), cell(&descriptor["version"]));
        lines.push(format!("{name} {version}{}", description.unwrap_or_default()));
    }
    let mut line = |title: &str, text: String| lines.push(format!("{title:<14}{text}"));
    let kibibytes = inspection["size_bytes"].as_u64().unwrap_or_default().div_ceil(1024);
    line("file", format!("{}, {kibibytes} KiB", cell(&inspection["file"])));
    line("digest", cell(&inspection["digest"]));
    if let Some(ready_ms) = inspection["ready_ms"].as_u64() {
        line("ready in", format!("{ready_ms} ms"));
    }
    for (title, list) in [("exports", "exports"), ("imports", "imports")] {
        for (index, name) in items(&inspection[list]).enumerate() {
            line(if index == 0 { title } else { "" }, cell(name));
        }
    }
    if let Some(wants) = inspection["wants"].as_str() {
        line("wants", wants.to_owned());
    }
    for route in items(&descriptor["routes"]) {
        line("route", format!("{} {}", cell(&route["method"]), cell(&route["path"])));
    }
    for subscription in items(&descriptor["subscriptions"]) {
        line("subscription", format!("{} as {}", cell(&subscription["pattern"]), cell(&subscription["name"])));
    }
    for schedule in items(&descriptor["schedules"]) {
        line("schedule", format!("{}: {}", cell(&schedule[0]), cell(&schedule[1]["cron"])));
    }
    for (title, list) in [("publishes", "publishes"), ("subscribes", "subscribes")] {
        if items(&descriptor[list]).next().is_some() {
            line(title, cell(&descriptor[list]));
        }
    }
    for key in items(&descriptor["config"]) {
        let default = key["default"].as_str().map(|default| format!(" = {default:?}")).unwrap_or_default();
        line("config", format!("{}{default}", cell(&key["name"])));
    }
    lines.join("\n")
}

/// What a component without a sidecar waits for, if it is nothing else that is in the way.
fn wanted(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref() {
        Some(LoadError::Mismatch(mismatch)) if mismatch.wants_sidecar() => {
            Some(format!("{mismatch}; write it into NAME.toml beside the component, or beside the project's manifest"))
        }
        _ => None,
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The names of what a component exports and imports. A module that carries its component type is shown as the
/// component that the host makes of it.
fn world(bytes: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
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
fn sidecar(file: &Path) -> anyhow::Result<Sidecar> {
    let path = file.with_extension("toml");
    let mut sidecar = match std::fs::read_to_string(&path) {
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
    let engine = EngineConfig { concurrency: 8, memory_bytes: sandbox.memory_ceiling_bytes, source_lines: true };
    let cache = cache_directory()?.join("code");
    let loader = Loader::new(engine, cache, sandbox.plugin_defaults(), World::default())?;
    let started = Instant::now();
    let generation = loader.load(bytes, sidecar)?;
    Ok((Arc::unwrap_or_clone(generation.descriptor), started.elapsed()))
}
