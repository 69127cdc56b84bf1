//! The interfaces that components import and export, and which hosts provide them. This module is the only source for
//! the error about missing imports, for `sandbus inspect --against`, and for the tables in
//! docs/component-interfaces.md.

mod comparison;
mod exports;
mod imports;
#[cfg(test)]
mod tests;

pub(crate) use self::comparison::{Comparison, Fit, ImportName, InterfaceFit, no_handler};
use self::imports::IMPORTS;

/// A host that components are made for, or a standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// This host.
    Sandbus,
    /// Spin 4.
    Spin,
    /// wasmCloud from version 2.5.
    WasmCloud,
    /// A host that provides WASI 0.3 and nothing else.
    Wasi03,
}

impl Platform {
    #[cfg(test)]
    const ALL: [Self; 4] = [Self::Sandbus, Self::Spin, Self::WasmCloud, Self::Wasi03];

    /// The name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sandbus => "Sandbus",
            Self::Spin => "Spin 4",
            Self::WasmCloud => "wasmCloud 2",
            Self::Wasi03 => "WASI 0.3",
        }
    }

    /// The name in messages.
    fn host(self) -> &'static str {
        if self == Self::Sandbus { "this host" } else { self.name() }
    }
}

/// The purpose of interfaces. Interfaces with the same purpose can replace each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A purpose that no other interface has.
    Own,
    Configuration,
    Handler,
    Http,
    KeyValue,
    Logs,
    Messages,
    Sql,
}

/// Interfaces of one package that the same hosts provide in the same versions.
#[derive(Clone, Copy, Debug)]
struct Interfaces {
    package: &'static str,
    /// Their names; none for the whole package.
    names: &'static [&'static str],
    /// What they give in Sandbus, or, if Sandbus does not provide them, how to do without them.
    about: &'static str,
    purpose: Purpose,
    sandbus: Versions,
    spin: Versions,
    wasmcloud: Versions,
    wasi_0_3: Versions,
    /// What the sidecar must contain so that the interfaces have an effect.
    needs: Option<&'static str>,
    /// What to do about a version that Sandbus does not provide. By default: build the component for another version.
    other_version: Option<&'static str>,
}

/// Versions of a package. One that ends with `x` stands for every release with the numbers before it. An empty one
/// stands for a name without a version.
type Versions = &'static [&'static str];

impl Interfaces {
    /// Interfaces that no host provides.
    const fn new(package: &'static str, names: &'static [&'static str], about: &'static str) -> Self {
        Self {
            package,
            names,
            about,
            purpose: Purpose::Own,
            sandbus: &[],
            spin: &[],
            wasmcloud: &[],
            wasi_0_3: &[],
            needs: None,
            other_version: None,
        }
    }

    const fn purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    const fn sandbus(self, sandbus: Versions) -> Self {
        Self { sandbus, ..self }
    }

    const fn spin(self, spin: Versions) -> Self {
        Self { spin, ..self }
    }

    const fn wasmcloud(self, wasmcloud: Versions) -> Self {
        Self { wasmcloud, ..self }
    }

    const fn wasi_0_3(self, wasi_0_3: Versions) -> Self {
        Self { wasi_0_3, ..self }
    }

    const fn needs(self, needs: &'static str) -> Self {
        Self { needs: Some(needs), ..self }
    }

    const fn other_version(self, remedy: &'static str) -> Self {
        Self { other_version: Some(remedy), ..self }
    }

    /// The versions that a platform provides.
    fn versions(&self, platform: Platform) -> Versions {
        match platform {
            Platform::Sandbus => self.sandbus,
            Platform::Spin => self.spin,
            Platform::WasmCloud => self.wasmcloud,
            Platform::Wasi03 => self.wasi_0_3,
        }
    }

    fn has(&self, name: Name<'_>) -> bool {
        self.package == name.package && (self.names.is_empty() || self.names.contains(&name.interface))
    }

    /// The full name of one of the interfaces, in the latest version that a platform provides.
    fn example(&self, platform: Platform) -> Option<String> {
        let version = self.versions(platform).last()?;
        let interface = self.names.first().map(|name| format!("/{name}")).unwrap_or_default();
        let version = if version.is_empty() { String::new() } else { format!("@{version}") };
        Some(format!("`{}{interface}{version}`", self.package))
    }
}

/// The parts of an interface's name.
#[derive(Clone, Copy, Debug)]
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    /// Splits a name such as `wasi:http/types@0.2.3`. A name without a package is only an interface.
    fn parse(name: &'a str) -> Self {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        let (package, interface) = path.split_once('/').unwrap_or(("", path));
        Self { package, interface, version }
    }

    fn is_one_of(self, versions: Versions) -> bool {
        versions.iter().any(|version| match version.strip_suffix('x') {
            Some(series) => {
                let patch = self.version.strip_prefix(series);
                patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
            }
            None => *version == self.version,
        })
    }
}

/// The entry of an interface.
fn find(table: &'static [Interfaces], name: Name<'_>) -> Option<&'static Interfaces> {
    table.iter().find(|interfaces| interfaces.has(name))
}

/// What to do about an import that a platform does not provide.
pub(super) fn import_fix(import: &ImportName, platform: Platform) -> String {
    let (name, host) = (Name::parse(import.interface()), platform.host());
    let is_provided = find(IMPORTS, name).is_some_and(|interfaces| name.is_one_of(interfaces.versions(platform)));
    if is_provided && import.implements.is_some() {
        return match platform {
            Platform::Sandbus => format!(
                "{host} gives labels to `wasi:keyvalue`, `wasi:config` and `wasi:logging`; import this interface without a label"
            ),
            _ => format!("{host} gives no labels to imports; import the interface once, without a label"),
        };
    }
    let is_here = platform == Platform::Sandbus;
    if is_here && name.package.starts_with("wasi:") && name.version.starts_with("0.3.0-") {
        return format!("{host} offers WASI 0.3.0, but not its drafts; build the component for 0.3.0");
    }
    let Some(interfaces) = find(IMPORTS, name) else {
        let mut others = IMPORTS.iter().filter(|other| other.package == name.package);
        return match others.any(|other| !other.versions(platform).is_empty()) {
            true => {
                format!("{host} offers other interfaces of `{}`; build the component without this one", name.package)
            }
            false => format!("{host} does not provide it; build the component without it"),
        };
    };
    match interfaces.versions(platform) {
        [] if is_here => interfaces.about.to_owned(),
        [] => match alternatives(IMPORTS, interfaces.purpose, platform) {
            Some(others) => format!("{host} does not provide it; use {others}"),
            None => format!("{host} does not provide it; build the component without it"),
        },
        versions => match interfaces.other_version.filter(|_| is_here) {
            Some(remedy) => remedy.to_owned(),
            None => format!("{host} offers {}", offered(versions)),
        },
    }
}

/// The interfaces with a purpose that a platform provides, if there are any.
fn alternatives(table: &[Interfaces], purpose: Purpose, platform: Platform) -> Option<String> {
    const MOST: usize = 2;
    let others = table.iter().filter(|other| purpose != Purpose::Own && other.purpose == purpose);
    let names: Vec<_> = others.filter_map(|other| other.example(platform)).take(MOST).collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

/// Versions that a host offers, and what to do with them.
fn offered(versions: &[&str]) -> String {
    let name = |version: &&str| if version.is_empty() { "without a number".to_owned() } else { (*version).to_owned() };
    let names: Vec<_> = versions.iter().map(name).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => {
            format!("versions {} and {last}; build the component for one of them", first.join(", "))
        }
        _ => format!("version {}; build the component for it", names.join("")),
    }
}
