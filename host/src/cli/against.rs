//! `sandbus inspect --against`: which imports and exports of a component this host and another platform provide.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::output::{cell, table};
use crate::plugin::{
    Comparison, ComponentInterface, Digest, Fit, InterfaceFit, Platform, Symlinks, as_component, no_handler,
    read_plugin,
};

/// What a component is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Against {
    /// Spin 4
    Spin,
    /// wasmCloud 2.5 and later
    Wasmcloud,
    /// A host that provides WASI 0.3 and nothing else
    #[value(name = "wasi-0.3")]
    Wasi03,
    /// This host
    Sandbus,
}

impl From<Against> for Platform {
    fn from(against: Against) -> Self {
        match against {
            Against::Spin => Self::Spin,
            Against::Wasmcloud => Self::WasmCloud,
            Against::Wasi03 => Self::Wasi03,
            Against::Sandbus => Self::Sandbus,
        }
    }
}

/// The result of a comparison, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ComparisonView {
    file: PathBuf,
    digest: String,
    /// The platform that the component is compared with.
    against: String,
    /// Whether this host provides all imports and calls an export.
    runs_here: bool,
    /// Whether the other platform does.
    runs_there: bool,
    imports: Vec<InterfaceFit>,
    exports: Vec<InterfaceFit>,
}

impl ComparisonView {
    /// Compares a file. Nothing is compiled.
    pub(super) fn of(file: &Path, against: Against) -> anyhow::Result<Self> {
        let bytes = read_plugin(file, Symlinks::Follow).with_context(|| format!("cannot read {}", file.display()))?;
        let read = || -> anyhow::Result<_> { Ok(ComponentInterface::of(&as_component(&bytes)?)?) };
        let ComponentInterface { imports, exports } = read().with_context(|| format!("{}", file.display()))?;
        let platform = Platform::from(against);
        let Comparison { imports, exports } = Comparison::of(&imports, &exports, platform);
        let runs = |fit: fn(&InterfaceFit) -> &Fit| {
            let is_called = exports.iter().any(|export| matches!(fit(export), Fit::Provided { .. }));
            is_called && !imports.iter().any(|import| matches!(fit(import), Fit::Missing { .. }))
        };
        Ok(Self {
            file: file.to_owned(),
            digest: Digest::of(&bytes).as_str().to_owned(),
            against: platform.name().to_owned(),
            runs_here: runs(|interface| &interface.sandbus),
            runs_there: runs(|interface| &interface.platform),
            imports,
            exports,
        })
    }

    /// Whether the other platform is another one.
    fn is_with_another(&self) -> bool {
        self.against != Platform::Sandbus.name()
    }

    /// Fails if something is missing in this host or in the other platform.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let here = (!self.runs_here).then(|| Platform::Sandbus.name());
        let there = (!self.runs_there && self.is_with_another()).then_some(self.against.as_str());
        match here.into_iter().chain(there).collect::<Vec<_>>().as_slice() {
            [] => Ok(()),
            platforms => bail!(
                "{} does not run on {} as it is; the lines above say what to do",
                self.file.display(),
                platforms.join(" and ")
            ),
        }
    }
}

/// The result as text: tables of imports and exports, what the sidecar needs, and what to do about what is missing.
pub(super) fn show(view: &ComparisonView) -> String {
    let mut parts = Vec::new();
    for (title, interfaces) in [("IMPORT", &view.imports), ("EXPORT", &view.exports)] {
        if interfaces.is_empty() {
            continue;
        }
        let there = view.against.to_uppercase();
        let columns =
            if view.is_with_another() { vec![title, "SANDBUS", there.as_str()] } else { vec![title, "SANDBUS"] };
        parts.push(table(&columns, interfaces, |interface| {
            let mut row = vec![cell(interface.name.written()), status(&interface.sandbus).to_owned()];
            if view.is_with_another() {
                row.push(status(&interface.platform).to_owned());
            }
            row
        }));
    }
    parts.extend(paragraph("The sidecar needs:", view, |interface| match &interface.sandbus {
        Fit::Provided { needs } => needs.as_deref(),
        Fit::Missing { .. } | Fit::Unused => None,
    }));
    parts.extend(paragraph("Missing in Sandbus:", view, |interface| missing(&interface.sandbus)));
    if view.is_with_another() {
        let title = format!("Missing in {}:", view.against);
        parts.extend(paragraph(&title, view, |interface| missing(&interface.platform)));
    }
    if view.exports.is_empty() {
        parts.push(format!("It exports nothing: {}", no_handler(Platform::Sandbus)));
    }
    parts.join("\n\n")
}

/// Lines about the interfaces for which there is a text.
fn paragraph<'a>(
    title: &str,
    view: &'a ComparisonView,
    text: impl Fn(&'a InterfaceFit) -> Option<&'a str>,
) -> Option<String> {
    let mut lines = vec![title.to_owned()];
    for interface in view.imports.iter().chain(&view.exports) {
        if let Some(text) = text(interface) {
            lines.push(format!("  {}: {text}", cell(interface.name.written())));
        }
    }
    (lines.len() > 1).then(|| lines.join("\n"))
}

fn missing(fit: &Fit) -> Option<&str> {
    match fit {
        Fit::Missing { fix } => Some(fix),
        Fit::Provided { .. } | Fit::Unused => None,
    }
}

fn status(fit: &Fit) -> &'static str {
    match fit {
        Fit::Provided { .. } => "provided",
        Fit::Unused => "unused",
        Fit::Missing { .. } => "missing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comparison of a component.
    fn compare(text: &str, against: Against) -> ComparisonView {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.wasm");
        std::fs::write(&file, wat::parse_str(format!("(component {text})")).unwrap()).unwrap();
        ComparisonView::of(&file, against).unwrap()
    }

    const SERVICE: &str = "(instance $i) (export \"wasi:http/handler@0.3.0\" (instance $i))";

    #[test]
    fn a_component_for_another_host_is_told_what_is_missing_here() {
        let imports = "(import \"spin:key-value/key-value@3.0.0\" (instance))
            (import \"spin:sqlite/sqlite@3.1.0\" (instance)) (import \"wasi:http/client@0.3.0\" (instance))";
        let view = compare(&format!("{imports} {SERVICE}"), Against::Spin);
        assert!(!view.runs_here && view.runs_there, "{view:?}");
        let shown = show(&view);
        for line in [
            "  spin:sqlite/sqlite@3.1.0: this host has no SQL database; use `spin:key-value` or `wasi:keyvalue`",
            "  wasi:http/client@0.3.0: [grants] http = [\"api.example.com\"]",
            "  wasi:http/handler@0.3.0: routes = [\"* /\", \"* /{*path}\"]",
        ] {
            assert!(shown.lines().any(|one| one == line), "{line}\n{shown}");
        }
        assert!(!shown.contains("Missing in Spin"), "{shown}");
        let refused = view.verdict().unwrap_err().to_string();
        assert!(refused.contains("does not run on Sandbus as it is"), "{refused}");
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["imports"][1]["sandbus"]["status"], "missing", "{json}");
        assert_eq!(json["imports"][1]["platform"], serde_json::json!({ "status": "provided" }), "{json}");
    }

    #[test]
    fn a_component_for_this_host_is_told_what_is_missing_there() {
        let own = "(import \"sandbus:plugin/client@0.1.0\" (instance)) (instance $i)
            (export \"sandbus:plugin/descriptor@0.1.0\" (instance $i))
            (export \"sandbus:plugin/http-handler@0.1.0\" (instance $i))";
        let view = compare(own, Against::Wasmcloud);
        assert!(view.runs_here && !view.runs_there, "{view:?}");
        let shown = show(&view);
        for line in [
            "  sandbus:plugin/client@0.1.0: wasmCloud 2 does not provide it; use `wasi:http/outgoing-handler@0.2.x` or `wasi:http/client@0.3.x`",
            "  sandbus:plugin/http-handler@0.1.0: wasmCloud 2 does not call it; export `wasi:http/incoming-handler@0.2.x` or `wasi:http/handler@0.3.x`",
        ] {
            assert!(shown.lines().any(|one| one == line), "{line}\n{shown}");
        }
        let alone = compare(own, Against::Sandbus);
        assert!(alone.verdict().is_ok() && !show(&alone).contains("WASMCLOUD"), "{alone:?}");
    }

    #[test]
    fn an_export_besides_the_handler_is_unused() {
        let view = compare(&format!("{SERVICE} (export \"acme:paint/brush\" (instance $i))"), Against::Wasi03);
        assert!(view.verdict().is_ok(), "{view:?}");
        assert_eq!(view.exports[1].sandbus, Fit::Unused);
        let nothing = compare("(import \"wasi:io/poll@0.2.0\" (instance))", Against::Wasi03);
        assert!(!nothing.runs_here && show(&nothing).contains("It exports nothing"), "{nothing:?}");
    }
}
