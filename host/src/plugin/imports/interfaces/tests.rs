//! The tables are true, and are those of the documentation.

use std::path::Path;

use super::exports::EXPORTS;
use super::imports::IMPORTS;
use super::*;
use crate::plugin::imports::linkers::Linkers;
use crate::plugin::imports::linkers::tests::linkers_for;
use crate::plugin::invocation::guest_call::CallModel;

/// The names of the interfaces of an entry, in a version.
fn names(interfaces: &Interfaces, version: &str) -> Vec<String> {
    let version = match version.strip_suffix('x') {
        Some(series) => format!("@{series}0"),
        None if version.is_empty() => String::new(),
        None => format!("@{version}"),
    };
    interfaces.names.iter().map(|name| format!("{}/{name}{version}", interfaces.package)).collect()
}

#[test]
fn sandbus_offers_what_the_table_says() {
    let linkers = [CallModel::Synchronous, CallModel::Concurrent].map(linkers_for);
    let offered = |name: &str| linkers.iter().any(|linkers: &Linkers| linkers.offers_name(name));
    for interfaces in IMPORTS {
        for name in interfaces.sandbus.iter().flat_map(|version| names(interfaces, version)) {
            // A component that imports types alone needs nothing from the host.
            assert!(offered(&name) || name.contains("sandbus:plugin/rules"), "{name} is in the table, but not offered");
        }
        // What another platform provides is either offered, or not in the table.
        for platform in [Platform::Spin, Platform::WasmCloud, Platform::Wasi03] {
            for name in interfaces.versions(platform).iter().flat_map(|version| names(interfaces, version)) {
                let is_listed = Name::parse(&name).is_one_of(interfaces.sandbus);
                assert_eq!(offered(&name), is_listed, "{name}");
            }
        }
    }
}

#[test]
fn every_interface_has_one_entry() {
    for table in [IMPORTS, EXPORTS] {
        for (index, interfaces) in table.iter().enumerate() {
            for name in interfaces.names {
                let name = Name { package: interfaces.package, interface: name, version: "" };
                let found = table.iter().position(|other| other.has(name));
                assert_eq!(found, Some(index), "{name:?}");
            }
        }
    }
}

#[test]
fn versions_are_compared() {
    for (name, versions, fits) in [
        ("wasi:io/poll@0.2.0", &["0.2.x"][..], true),
        ("wasi:io/poll@0.2.12", &["0.2.x"], true),
        ("wasi:io/poll@0.2.0-rc-2023-11-10", &["0.2.x"], false),
        ("wasi:io/poll@0.2.", &["0.2.x"], false),
        ("wasi:io/poll@0.3.0", &["0.2.x"], false),
        ("wasi:io/poll", &["0.2.x"], false),
        ("wasi:logging/logging", &[""], true),
        ("wasi:keyvalue/store@0.2.0-draft2", &["0.2.0-draft", "0.2.0-draft2"], true),
        ("wasi:keyvalue/store@0.2.0-draft3", &["0.2.0-draft", "0.2.0-draft2"], false),
    ] {
        assert_eq!(Name::parse(name).is_one_of(versions), fits, "{name} {versions:?}");
    }
}

const PAGE: &str = "docs/component-interfaces.md";

/// A table of the documentation.
fn table(interfaces: &[Interfaces], title: &str) -> String {
    let platforms = Platform::ALL;
    let heads: Vec<_> = platforms.iter().map(|platform| platform.name()).collect();
    let mut text = format!("| {title} | {} | In Sandbus |\n| --- |{}\n", heads.join(" | "), " --- |".repeat(5));
    for interfaces in
        interfaces.iter().filter(|interfaces| platforms.iter().any(|one| !interfaces.versions(*one).is_empty()))
    {
        let names: Vec<_> = match interfaces.names {
            [] => vec![format!("`{}`", interfaces.package)],
            [first, rest @ ..] => {
                let first = format!("`{}/{first}`", interfaces.package);
                std::iter::once(first).chain(rest.iter().map(|name| format!("`{name}`"))).collect()
            }
        };
        let versions = platforms.map(|platform| {
            let name =
                |version: &&str| if version.is_empty() { "without version".to_owned() } else { (*version).to_owned() };
            let names: Vec<_> = interfaces.versions(platform).iter().map(name).collect();
            if names.is_empty() { "–".to_owned() } else { names.join(", ") }
        });
        let needs = interfaces.needs.map(|needs| format!("; needs `{}`", needs.replace('|', "\\|")));
        let needs = needs.unwrap_or_default();
        text += &format!("| {} | {} | {}{needs} |\n", names.join(", "), versions.join(" | "), interfaces.about);
    }
    text
}

/// With `SANDBUS_BLESS=1` the tables are written.
#[test]
fn the_documentation_has_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (mark, text) in [("imports", table(IMPORTS, "Import")), ("exports", table(EXPORTS, "Export"))] {
        let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
        let (before, rest) = page.split_once(&begin).unwrap();
        let (written, after) = rest.split_once(&end).unwrap();
        if std::env::var_os("SANDBUS_BLESS").is_none() {
            assert_eq!(
                written, text,
                "run SANDBUS_BLESS=1 cargo test --workspace --lib the_documentation_has_the_tables"
            );
        }
        page = format!("{before}{begin}{text}{end}{after}");
    }
    if std::env::var_os("SANDBUS_BLESS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
}
