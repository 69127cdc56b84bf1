//! Compares what a component imports and exports with what hosts provide and call.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::exports::{EXPORTS, calls};
use super::imports::IMPORTS;
use super::{Interfaces, Name, Platform, Purpose, alternatives, find, import_fix, offered};
use crate::plugin::manifest::labelled_imports::LabelledKind;

/// The name of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ImportName {
    /// The name: that of an interface, or a label of the component's own.
    pub(crate) name: String,
    /// The interface that a label stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) implements: Option<String>,
}

impl ImportName {
    /// The name of the interface.
    pub(crate) fn interface(&self) -> &str {
        self.implements.as_deref().unwrap_or(&self.name)
    }

    /// The import as it stands in WIT.
    pub(crate) fn written(&self) -> String {
        match &self.implements {
            Some(interface) => format!("{}: {interface}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Display for ImportName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.implements {
            Some(interface) => write!(formatter, "`{}`, a label for `{interface}`,", self.name),
            None => write!(formatter, "`{}`", self.name),
        }
    }
}

/// How a component fits this host and another platform.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) imports: Vec<InterfaceFit>,
    pub(crate) exports: Vec<InterfaceFit>,
}

/// How an interface of a component fits this host and another platform.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InterfaceFit {
    #[serde(flatten)]
    pub(crate) name: ImportName,
    pub(crate) sandbus: Fit,
    /// The other platform.
    pub(crate) platform: Fit,
}

/// How an interface of a component fits a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub(crate) enum Fit {
    /// The platform provides or calls it.
    Provided {
        /// What the sidecar must contain so that it has an effect.
        #[serde(skip_serializing_if = "Option::is_none")]
        needs: Option<String>,
    },
    /// The platform does not call this export, but another one.
    Unused,
    /// The platform does not provide it, or calls no export of the component.
    Missing {
        /// What to do.
        fix: String,
    },
}

impl Comparison {
    /// Compares the names of imports and exports.
    pub(crate) fn of(imports: &[ImportName], exports: &[String], platform: Platform) -> Self {
        let both = |fit: &dyn Fn(Platform) -> Fit| (fit(Platform::Sandbus), fit(platform));
        let imports = imports.iter().map(|import| {
            let (sandbus, platform) = both(&|platform| import_fit(import, platform));
            InterfaceFit { name: import.clone(), sandbus, platform }
        });
        let compared_exports = exports.iter().map(|export| {
            let (sandbus, platform) = both(&|platform| export_fit(export, exports, platform));
            InterfaceFit { name: ImportName { name: export.clone(), implements: None }, sandbus, platform }
        });
        Self { imports: imports.collect(), exports: compared_exports.collect() }
    }
}

fn provided(interfaces: &Interfaces, platform: Platform) -> Fit {
    let needs = interfaces.needs.filter(|_| platform == Platform::Sandbus);
    Fit::Provided { needs: needs.map(str::to_owned) }
}

fn import_fit(import: &ImportName, platform: Platform) -> Fit {
    let name = Name::parse(import.interface());
    let found = find(IMPORTS, name).filter(|interfaces| name.is_one_of(interfaces.versions(platform)));
    let missing = || Fit::Missing { fix: import_fix(import, platform) };
    match (found, &import.implements, platform) {
        (None, ..) | (_, Some(_), Platform::Spin) => missing(),
        (Some(_), Some(interface), Platform::Sandbus) => match LabelledKind::of(interface) {
            Some(LabelledKind::Config) => Fit::Provided { needs: Some(format!("[imports.{}.config]", import.name)) },
            Some(_) => Fit::Provided { needs: None },
            None => missing(),
        },
        (Some(interfaces), ..) => provided(interfaces, platform),
    }
}

fn export_fit(export: &str, all: &[String], platform: Platform) -> Fit {
    let name = Name::parse(export);
    let found = find(EXPORTS, name);
    if let Some(interfaces) = found.filter(|_| calls(platform, export)) {
        // A component that describes itself needs no description in the sidecar.
        let describes_itself = all.iter().any(|export| Name::parse(export).package == "sandbus:plugin");
        return if describes_itself { Fit::Provided { needs: None } } else { provided(interfaces, platform) };
    }
    if all.iter().any(|export| calls(platform, export)) {
        return Fit::Unused;
    }
    Fit::Missing { fix: export_fix(found, platform) }
}

/// What to do about an export that a platform does not call.
fn export_fix(found: Option<&Interfaces>, platform: Platform) -> String {
    let host = platform.host();
    match found.map(|interfaces| (interfaces, interfaces.versions(platform))) {
        Some((interfaces, [])) if platform == Platform::Sandbus => interfaces.about.to_owned(),
        Some((_, versions @ [_, ..])) => format!("{host} calls {}", offered(versions)),
        _ => no_handler(platform),
    }
}

/// Says that a platform calls no export of a component.
pub(crate) fn no_handler(platform: Platform) -> String {
    let handlers = alternatives(EXPORTS, Purpose::Handler, platform).unwrap_or_default();
    format!("{} does not call it; export {handlers}", platform.host())
}
