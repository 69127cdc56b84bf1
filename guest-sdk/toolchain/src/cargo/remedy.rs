//! Remedies for workspaces that cargo refuses. Cargo's own messages name several remedies, or none.

use crate::Error;

/// A part of cargo's message, and the remedy.
const REMEDIES: [(&str, &str); 5] = [
    (
        "multiple workspace roots found in the same workspace",
        "a crate among the members has a [workspace] of its own; remove it from the crate's Cargo.toml to make the crate \
         a member, or list the crate's directory under `exclude` in the outer [workspace]",
    ),
    (
        "believes it's in a workspace when it's not",
        "add an empty [workspace] to the crate's own Cargo.toml, which makes it independent, or list its directory under \
         `members` in the outer [workspace]",
    ),
    (
        "from workspace root manifest's",
        "cargo treats a crate of another workspace as a member of this one, for example the SDK in a plugin's \
         `vendor`; list its directory under `exclude` in the outer [workspace]: exclude = [\"PLUGIN/vendor\"]",
    ),
    (
        "target/Cargo.toml",
        "a pattern in `members` matches cargo's own directory `target`; exclude it in the [workspace]: exclude = \
         [\"target\"]",
    ),
    (
        "two packages named `sandbus-sdk",
        "two members have a copy of the SDK; remove one copy, and change the path of `sandbus-sdk` in that plugin's \
         Cargo.toml to the other one",
    ),
];

/// The remedy for a message of cargo, if there is one.
pub(crate) fn remedy(said: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(sign, _)| said.contains(sign)).map(|(_, remedy)| *remedy)
}

/// Adds the remedy to an error of cargo.
pub(super) fn explained(error: Error) -> Error {
    match error {
        Error::Failed { command, output } => {
            let hint = remedy(&output).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            Error::Failed { command, output: output + &hint }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::workspace::Workspace;
    use crate::files::write_file;

    /// Workspaces that cargo refuses, and a part of the remedy.
    #[test]
    fn errors_of_cargo_have_a_remedy() {
        let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
        let inheriting = "[package]\nname = \"sandbus-sdk\"\nversion = \"0.1.0\"\nedition.workspace = true\n";
        let depending = |name: &str| package(name) + "[dependencies]\nsandbus-sdk = { path = \"vendor/sdk\" }\n";
        for (root, plugin, sdk, words) in [
            ("[workspace]\nmembers = [\"*\"]\n", package("a") + "[workspace]\n", package("sandbus-sdk"), "multiple"),
            ("[workspace]\n", package("a"), package("sandbus-sdk"), "add an empty [workspace]"),
            ("[workspace]\nmembers = [\"*\"]\n", depending("a"), inheriting.to_owned(), "PLUGIN/vendor"),
            ("[workspace]\nmembers = [\"*\"]\n", depending("a"), package("sandbus-sdk"), "two members"),
        ] {
            let home = tempfile::tempdir().unwrap();
            let write = |path: &str, text: &str| {
                write_file(&home.path().join(path).join("Cargo.toml"), text).unwrap();
                write_file(&home.path().join(path).join("src/lib.rs"), "").unwrap();
            };
            write_file(&home.path().join("Cargo.toml"), root).unwrap();
            write("a", &plugin);
            write("a/vendor/sdk", &sdk);
            if words == "two members" {
                write("b", &depending("b"));
                write("b/vendor/sdk", &sdk);
            }
            // A crate of its own workspace is refused only from the outer workspace.
            let at = if plugin.contains("[workspace]") { "Cargo.toml" } else { "a/Cargo.toml" };
            let error = Workspace::of(&home.path().join(Path::new(at))).unwrap_err().to_string();
            let (said, hint) = error.split_once("\nhint: ").unwrap_or_else(|| panic!("{words}: {error}"));
            assert!(hint.contains(words) || said.contains(words), "{error}");
        }
    }

    /// Cargo makes the directory `target` with the first build of a workspace.
    #[test]
    fn a_target_directory_among_the_members_has_a_remedy() {
        let home = tempfile::tempdir().unwrap();
        write_file(&home.path().join("Cargo.toml"), "[workspace]\nmembers = [\"*\"]\n").unwrap();
        write_file(&home.path().join("target/debug/a"), "").unwrap();
        let error = Workspace::of(&home.path().join("Cargo.toml")).unwrap_err().to_string();
        assert!(error.contains("\nhint: ") && error.contains("exclude = [\"target\"]"), "{error}");
    }
}
