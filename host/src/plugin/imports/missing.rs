//! Describes imports that the host does not offer.

use std::fmt::{self, Display, Formatter};

use super::interfaces::{ImportName, Platform, import_fix};

/// Imports of a component that the host does not offer.
#[derive(Debug)]
pub struct MissingImportsError {
    pub(super) imports: Vec<ImportName>,
    /// The engine's error, if the name of every import is known but one of them has another type.
    pub(super) mismatch: Option<wasmtime::Error>,
}

impl Display for MissingImportsError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.mismatch {
            return write!(formatter, "{error:#}; this host offers the interface in another form");
        }
        for (index, (fix, imports)) in by_fix(&self.imports).iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(formatter, "{separator}{} ({fix})", imports.join(", "))?;
        }
        Ok(())
    }
}

/// Groups imports by their fix. Some SDKs import every interface of their platform, so there may be dozens.
fn by_fix(imports: &[ImportName]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for import in imports {
        let fix = import_fix(import, Platform::Sandbus);
        match groups.iter_mut().find(|(other, _)| *other == fix) {
            Some((_, group)) => group.push(import.to_string()),
            None => groups.push((fix, vec![import.to_string()])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_with_the_same_fix_share_its_text() {
        let imports = ["spin:mqtt/mqtt@3.0.0", "spin:sqlite/sqlite@3.1.0", "spin:redis/redis@3.0.0"];
        let imports = imports.map(|name| ImportName { name: name.to_owned(), implements: None }).to_vec();
        let error = MissingImportsError { imports, mismatch: None }.to_string();
        let begin = "`spin:mqtt/mqtt@3.0.0`, `spin:redis/redis@3.0.0` (this host opens no connections";
        assert!(error.starts_with(begin) && error.contains("; `spin:sqlite/sqlite@3.1.0` ("), "{error}");
        assert_eq!(error.matches("opens no connections").count(), 1, "{error}");
    }
}
