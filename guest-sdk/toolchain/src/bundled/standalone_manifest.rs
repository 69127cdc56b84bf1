//! Replaces a manifest's references to its workspace, so that the crate builds anywhere.

use std::path::Path;

use toml::{Table, Value};

use crate::Error;
use crate::error::manifest_error;

/// The dependency tables of a manifest that a build needs.
const DEPENDENCIES: [&str; 2] = ["dependencies", "build-dependencies"];

/// A crate's manifest with the workspace's values in place of `workspace = true`. `place` maps the path of a workspace
/// crate to its path relative to this crate. Dev-dependencies are omitted.
///
/// # Errors
/// If a manifest is malformed, or the workspace lacks an inherited value.
pub(super) fn resolve_inheritance(
    manifest: &str,
    workspace: &str,
    place: &dyn Fn(&str) -> String,
) -> Result<String, Error> {
    let parse = |text: &str| {
        text.parse::<Table>().map_err(|error| manifest_error(Path::new("Cargo.toml"), error.message().to_owned()))
    };
    let workspace = parse(workspace)?.remove("workspace").unwrap_or(Value::Table(Table::new()));
    let defaults = WorkspaceDefaults { workspace: &workspace, place };
    let mut manifest = parse(manifest)?;
    manifest.remove("dev-dependencies");
    defaults.fill_package(&mut manifest)?;
    defaults.fill_dependencies(&mut manifest)?;
    if let Some(platforms) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for platform in platforms.iter_mut().filter_map(|(_, platform)| platform.as_table_mut()) {
            defaults.fill_dependencies(platform)?;
        }
    }
    Ok(manifest.to_string())
}

/// The values that a workspace offers its members.
struct WorkspaceDefaults<'a> {
    workspace: &'a Value,
    place: &'a dyn Fn(&str) -> String,
}

impl WorkspaceDefaults<'_> {
    fn value(&self, table: &str, name: &str) -> Result<Value, Error> {
        let value = self.workspace.get(table).and_then(|table| table.get(name)).cloned();
        value.ok_or_else(|| manifest_error(Path::new("Cargo.toml"), format!("the workspace has no {table}.{name}")))
    }

    fn fill_package(&self, manifest: &mut Table) -> Result<(), Error> {
        let package = manifest.get_mut("package").and_then(Value::as_table_mut).into_iter().flatten();
        for (name, value) in package.filter(|(_, value)| inherits(value)) {
            *value = self.value("package", name)?;
        }
        if manifest.get("lints").is_some_and(inherits) {
            let lints = self.workspace.get("lints").cloned();
            manifest.insert("lints".to_owned(), lints.unwrap_or(Value::Table(Table::new())));
        }
        Ok(())
    }

    fn fill_dependencies(&self, part: &mut Table) -> Result<(), Error> {
        for kind in DEPENDENCIES {
            let dependencies = part.get_mut(kind).and_then(Value::as_table_mut).into_iter().flatten();
            for (name, dependency) in dependencies.filter(|(_, dependency)| inherits(dependency)) {
                *dependency = self.dependency(name, dependency)?;
            }
        }
        Ok(())
    }

    /// The workspace's dependency with a member's additions.
    fn dependency(&self, name: &str, member: &Value) -> Result<Value, Error> {
        let mut all = match self.value("dependencies", name)? {
            Value::Table(table) => table,
            version => Table::from_iter([("version".to_owned(), version)]),
        };
        if let Some(Value::String(path)) = all.get_mut("path") {
            *path = (self.place)(path);
        }
        for (key, value) in member.as_table().into_iter().flatten().filter(|(key, _)| *key != "workspace") {
            match (all.get_mut(key), value) {
                // Features accumulate; for everything else the member's value counts.
                (Some(Value::Array(features)), Value::Array(more)) => features.extend(more.iter().cloned()),
                _ => drop(all.insert(key.clone(), value.clone())),
            }
        }
        Ok(Value::Table(all))
    }
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "[workspace.package]\nedition = \"2024\"\n[workspace.lints.rust]\nmissing_docs = \"warn\"\n\
        [workspace.dependencies]\nlog = \"0.4\"\nserde = { version = \"1\", features = [\"derive\"] }\nmacros = { path = \"macros\" }\n";

    #[test]
    fn inherited_keys_are_written_out() {
        let manifest = "[package]\nname = \"sdk\"\nedition.workspace = true\n[dependencies]\nlog = { workspace = true, \
            features = [\"std\"] }\nserde = { workspace = true, features = [\"rc\"] }\nmacros.workspace = true\nown = \"2\"\n\
            [target.'cfg(unix)'.dependencies]\nlog = { workspace = true, optional = true }\n\
            [dev-dependencies]\ntrybuild.workspace = true\n[lints]\nworkspace = true\n";
        let found: Table =
            resolve_inheritance(manifest, WORKSPACE, &|path| format!("../../{path}")).unwrap().parse().unwrap();
        let expected: Table =
            "[package]\nname = \"sdk\"\nedition = \"2024\"\n[dependencies]\nlog = { version = \"0.4\", \
            features = [\"std\"] }\nserde = { version = \"1\", features = [\"derive\", \"rc\"] }\n\
            macros = { path = \"../../macros\" }\nown = \"2\"\n\
            [target.'cfg(unix)'.dependencies]\nlog = { version = \"0.4\", optional = true }\n\
            [lints.rust]\nmissing_docs = \"warn\"\n"
                .parse()
                .unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn keys_that_the_workspace_lacks_are_named() {
        let error =
            resolve_inheritance("[dependencies]\nrand.workspace = true", WORKSPACE, &str::to_owned).unwrap_err();
        assert!(error.to_string().contains("dependencies.rand"), "{error}");
        assert!(resolve_inheritance("[", WORKSPACE, &str::to_owned).is_err());
    }
}
