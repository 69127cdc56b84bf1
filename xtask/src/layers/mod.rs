//! Checks the dependencies between modules. They point one way, between the top-level modules of the host and between
//! the layers of `plugin/`. Some crates may be named by only one module. The compiler cannot check this, because the
//! modules are one crate.

mod graph;
mod rules;
mod source;

use std::path::Path;

use anyhow::bail;

use self::graph::{Level, Levels, cycles, levels};
use self::rules::{HOST, LayerRule, OWNED_CRATES, PLUGIN};
use self::source::{Crate, read_crate};
use crate::steps::root;

/// Checks the host's rules, and that the modules of no crate form a cycle.
///
/// # Errors
/// The violations, one per line.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let host = read("host/src/lib.rs")?;
    let uses = levels(&host);
    faults.extend(check_table(&uses, &[], HOST));
    faults.extend(check_table(&uses, &["plugin"], PLUGIN));
    faults.extend(check_owned_crates(&host, OWNED_CRATES));
    faults.extend(cycle_faults(&uses));
    for other in [
        "guest-sdk/macros/src/lib.rs",
        "guest-sdk/sdk/src/lib.rs",
        "guest-sdk/toolchain/src/lib.rs",
        "tests/src/lib.rs",
        "xtask/src/main.rs",
    ] {
        faults.extend(cycle_faults(&levels(&read(other)?)));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => bail!("dependencies that violate the rules in xtask/src/layers/rules.rs:\n  {}", faults.join("\n  ")),
    }
}

fn read(file: &str) -> anyhow::Result<Crate> {
    let root = root();
    let mut source = read_crate(&root.join(file), &|path| std::fs::read_to_string(path).ok())?;
    for module in source.modules.values_mut() {
        module.file = module.file.strip_prefix(&root).map_or_else(|_| module.file.clone(), Path::to_owned);
    }
    Ok(source)
}

/// Dependencies between the modules inside one module that its table does not allow.
fn check_table(uses: &Levels, within: &[&str], table: &[LayerRule]) -> Vec<String> {
    let within: Vec<_> = within.iter().map(|&name| name.to_owned()).collect();
    let Some(level) = uses.get(&within) else { return Vec::new() };
    let allowed = |user: &str| table.iter().find(|(name, _)| *name == user).map(|(_, allowed)| *allowed);
    let fault = |((user, used), witness): (&(String, String), &graph::Dependency)| {
        let reason = match allowed(user) {
            None => format!("`{user}` is not in the table"),
            Some(allowed) if allowed.split(' ').any(|name| name == used) => return None,
            Some(_) => format!("`{user}` may not use `{used}`"),
        };
        Some(format!("{reason}: {} names {}", witness.file, witness.item))
    };
    level.iter().filter_map(fault).collect()
}

/// Modules that name a crate owned by another module.
fn check_owned_crates(source: &Crate, owned: &[(&str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, module) in &source.modules {
        let path = path.join("::");
        for head in &module.heads {
            let Some((_, owners)) = owned.iter().find(|(name, _)| head.starts_with(name)) else { continue };
            let owns = |owner: &str| path == owner || path.starts_with(&format!("{owner}::"));
            if !owners.split(' ').any(owns) {
                faults.push(format!("`{head}` belongs to `{owners}`: {} names it", module.file.display()));
            }
        }
    }
    faults
}

/// Cycles among sibling modules, at every depth.
fn cycle_faults(uses: &Levels) -> Vec<String> {
    let circle = |level: &Level, circle: Vec<String>| {
        let next = circle.iter().cycle().skip(1);
        let uses = circle.iter().zip(next).filter_map(|(user, used)| {
            let witness = level.get(&(user.clone(), used.clone()))?;
            Some(format!("{} names {}", witness.file, witness.item))
        });
        format!("{} form a cycle: {}", circle.join(", "), uses.collect::<Vec<_>>().join("; "))
    };
    uses.values().flat_map(|level| cycles(level).into_iter().map(|found| circle(level, found))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Crate {
        let read = |path: &Path| files.iter().find(|(name, _)| path == *name).map(|(_, text)| (*text).to_owned());
        read_crate(Path::new("lib.rs"), &read).unwrap()
    }

    const TABLE: &[LayerRule] = &[("bus", ""), ("plugin", "bus")];

    #[test]
    fn the_project_keeps_its_rules() {
        check().unwrap();
    }

    #[test]
    fn the_tables_list_each_module_after_those_that_it_uses() {
        for table in [HOST, PLUGIN] {
            for (index, (name, allowed)) in table.iter().enumerate() {
                let above = |used: &str| table[..index].iter().any(|(other, _)| *other == used);
                assert!(
                    allowed.split_whitespace().all(above),
                    "{name} uses a module that is listed later, or not at all"
                );
            }
        }
    }

    #[test]
    fn a_forbidden_use_is_found_however_it_is_written() {
        for text in [
            "use crate::plugin::Generation;",
            "use crate::{plugin::Generation, bus};",
            "use super::plugin;",
            "fn run() { let _ = crate::plugin::Generation::new(); }",
            "fn run(of: Vec<crate::plugin::Generation>) {}",
            "mod inner { use super::super::plugin::Generation; }",
            "macro_rules! m { () => { crate::plugin::run() } }",
            "fn run() { say!(\"{}\", crate::plugin::NAME); }",
            "pub use crate::alias::Generation;",
            "#[cfg(unix)] use crate::plugin::Generation;",
        ] {
            let alias = "pub use plugin as alias;\nmod bus;\nmod plugin;";
            let source = crate_of(&[("lib.rs", alias), ("bus.rs", text), ("plugin/mod.rs", "pub struct Generation;")]);
            let faults = check_table(&levels(&source), &[], TABLE);
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            assert!(faults[0].starts_with("`bus` may not use `plugin`: bus.rs names "), "{}", faults[0]);
        }
    }

    #[test]
    fn allowed_uses_comments_and_tests_are_not_violations() {
        for text in [
            "//! See crate::plugin::Generation.\n/* crate::plugin */ const TEXT: &str = \"crate::plugin::Generation\";",
            "#[cfg(test)]\nmod tests { use crate::plugin::Generation; }",
            "#[cfg(test)]\nuse crate::plugin::Generation;\nfn run() {}",
            "use std::plugin::Generation; use other::plugin;",
            "use self::plugin::Generation; mod plugin { pub struct Generation; }",
        ] {
            let source =
                crate_of(&[("lib.rs", "mod bus; mod plugin;"), ("bus.rs", text), ("plugin.rs", "use crate::bus;")]);
            assert_eq!(check_table(&levels(&source), &[], TABLE), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_module_without_a_rule_is_found() {
        let source = crate_of(&[("lib.rs", "mod attic; mod bus;"), ("attic.rs", "use crate::bus;"), ("bus.rs", "")]);
        assert!(check_table(&levels(&source), &[], TABLE)[0].starts_with("`attic` is not in the table"));
    }

    #[test]
    fn a_cycle_through_a_reexport_is_found() {
        let source = crate_of(&[
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod one; mod two; mod three; pub use one::One;"),
            ("room/one.rs", "use super::three::Three; pub struct One;"),
            ("room/two.rs", "use super::One;"),
            ("room/three.rs", "use crate::room::two;"),
        ]);
        let faults = cycle_faults(&levels(&source));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].starts_with("one, three, two form a cycle: room/one.rs names room::three::Three"),
            "{faults:?}"
        );
    }

    #[test]
    fn a_foreign_use_of_an_owned_crate_is_found() {
        let source = crate_of(&[
            ("lib.rs", "mod bus; mod plugin;"),
            ("bus.rs", "fn of(error: wasmtime_wasi::Error) {}"),
            ("plugin.rs", "use wasmtime::Engine; mod run { use wasmtime::Store; }"),
        ]);
        let faults = check_owned_crates(&source, &[("wasmtime", "plugin")]);
        assert_eq!(faults, ["`wasmtime_wasi` belongs to `plugin`: bus.rs names it"]);
    }
}
