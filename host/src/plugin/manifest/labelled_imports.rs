//! `[imports.LABEL]` in a sidecar: the settings of imports that a component has given a label of its own, so that it
//! can import one interface several times.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::config_value::{ConfigValue, ConfigValues};
use super::sidecar_error::SidecarError;
use crate::secrecy::Values;
use crate::secrets::SecretStore;

/// The longest prefix of keys, in bytes. It counts as part of each key.
pub(crate) const PREFIX_BYTES: usize = 256;

/// How many labelled imports a component may have. The host links each of them separately.
pub(crate) const MAX_LABELS: usize = 64;

/// The settings of an import with a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImportRules {
    /// For `wasi:keyvalue/store`: what the keys of the bucket begin with in the plugin's state. Defaults to the label
    /// and a slash, so that the buckets of two labels have no keys in common.
    #[schemars(length(max = PREFIX_BYTES))]
    pub prefix: Option<String>,
    /// For `wasi:logging`: the context of the log lines. Defaults to the label.
    pub context: Option<String>,
    /// For `wasi:config`: the values, in place of the plugin's configuration.
    #[schemars(with = "Option<BTreeMap<String, super::config_value::ConfigValueForm>>")]
    pub config: Option<ConfigValues>,
}

impl ImportRules {
    /// The keys that are set.
    fn keys(&self) -> impl Iterator<Item = &'static str> {
        let keys =
            [("prefix", self.prefix.is_some()), ("context", self.context.is_some()), ("config", self.config.is_some())];
        keys.into_iter().filter_map(|(key, is_given)| is_given.then_some(key))
    }
}

/// The settings of a component's labelled imports, by label.
pub(super) type ImportRulesByLabel = BTreeMap<String, ImportRules>;

/// What an import with a label stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelledKind {
    /// `wasi:keyvalue/store`: a bucket of its own.
    Bucket,
    /// The other interfaces of `wasi:keyvalue`, which work on any bucket.
    BucketFunctions,
    /// `wasi:config`: values of its own.
    Config,
    /// `wasi:logging`: a context of its own.
    Logging,
}

impl LabelledKind {
    /// The kind of an interface; none if the host gives it no label.
    pub(crate) fn of(interface: &str) -> Option<Self> {
        match interface {
            "wasi:keyvalue/store@0.2.0-draft" | "wasi:keyvalue/store@0.2.0-draft2" => Some(Self::Bucket),
            "wasi:keyvalue/atomics@0.2.0-draft"
            | "wasi:keyvalue/atomics@0.2.0-draft2"
            | "wasi:keyvalue/batch@0.2.0-draft"
            | "wasi:keyvalue/batch@0.2.0-draft2" => Some(Self::BucketFunctions),
            "wasi:config/store@0.2.0-draft"
            | "wasi:config/store@0.2.0-draft-2024-09-27"
            | "wasi:config/store@0.2.0-rc.1"
            | "wasi:config/runtime@0.2.0-draft" => Some(Self::Config),
            "wasi:logging/logging" | "wasi:logging/logging@0.1.0-draft" => Some(Self::Logging),
            _ => None,
        }
    }

    /// The key of `[imports.LABEL]` that it has.
    fn key(self) -> Option<&'static str> {
        match self {
            Self::Bucket => Some("prefix"),
            Self::BucketFunctions => None,
            Self::Config => Some("config"),
            Self::Logging => Some("context"),
        }
    }
}

/// An import with a label, which this host can link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelledImport {
    pub(crate) label: String,
    pub(crate) interface: String,
    pub(crate) kind: LabelledKind,
}

impl LabelledImport {
    /// None if this host does not link the interface with a label.
    pub(crate) fn new(label: &str, interface: &str) -> Option<Self> {
        let kind = LabelledKind::of(interface)?;
        Some(Self { label: label.to_owned(), interface: interface.to_owned(), kind })
    }
}

/// The settings of labelled imports that a sidecar gives, with their secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImportSettings(BTreeMap<String, (ImportRules, Values)>);

impl ImportSettings {
    /// Reads the secrets that the settings refer to, so it may block.
    pub(super) fn new(rules: &ImportRulesByLabel, store: &SecretStore) -> Result<Self, SidecarError> {
        let mut all = BTreeMap::new();
        for (label, rules) in rules {
            let (mut values, mut secrets) = (BTreeMap::new(), BTreeSet::new());
            for (name, value) in rules.config.iter().flat_map(|config| config.iter()) {
                let text = match value {
                    ConfigValue::Text(text) => text.clone(),
                    ConfigValue::Secret(source) => {
                        secrets.insert(name.clone());
                        let failed = |error| SidecarError::ImportSecret(label.clone(), name.clone(), error);
                        store.read(source).map_err(failed)?
                    }
                };
                values.insert(name.clone(), text);
            }
            all.insert(label.clone(), (rules.clone(), Values::new(values, secrets)));
        }
        Ok(Self(all))
    }

    /// What the keys of a label's bucket begin with.
    pub(crate) fn prefix(&self, label: &str) -> String {
        let given = self.0.get(label).and_then(|(rules, _)| rules.prefix.clone());
        given.unwrap_or_else(|| format!("{label}/"))
    }

    /// The context of a label's log lines.
    pub(crate) fn context<'a>(&'a self, label: &'a str) -> &'a str {
        self.0.get(label).and_then(|(rules, _)| rules.context.as_deref()).unwrap_or(label)
    }

    /// The configuration of a label. It has values, because a sidecar without them is refused.
    pub(crate) fn values(&self, label: &str) -> Option<&Values> {
        self.0.get(label).map(|(_, values)| values)
    }

    /// All values.
    pub(crate) fn all_values(&self) -> impl Iterator<Item = &Values> {
        self.0.values().map(|(_, values)| values)
    }
}

/// Checks that the settings of imports fit the labelled imports of the component.
pub(super) fn check(settings: &ImportRulesByLabel, imports: &[LabelledImport]) -> Result<(), SidecarError> {
    if let Some(label) = settings.keys().find(|label| !imports.iter().any(|import| import.label == **label)) {
        let labels = imports.iter().map(|import| import.label.clone()).collect();
        return Err(SidecarError::UnknownImport(label.clone(), labels));
    }
    let none = ImportRules::default();
    for LabelledImport { label, interface, kind } in imports {
        let rules = settings.get(label).unwrap_or(&none);
        if let Some(key) = rules.keys().find(|key| kind.key() != Some(key)) {
            return Err(SidecarError::ImportKey(label.clone(), key, interface.clone()));
        }
        if rules.prefix.as_ref().is_some_and(|prefix| prefix.len() > PREFIX_BYTES) {
            return Err(SidecarError::ImportPrefix(label.clone(), PREFIX_BYTES));
        }
        if *kind == LabelledKind::Config && rules.config.is_none() {
            return Err(SidecarError::NoImportValues(label.clone(), interface.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sidecar::Sidecar;
    use super::*;

    const IMPORTS: [(&str, &str); 4] = [
        ("cache", "wasi:keyvalue/store@0.2.0-draft2"),
        ("counters", "wasi:keyvalue/atomics@0.2.0-draft2"),
        ("audit", "wasi:logging/logging@0.1.0-draft"),
        ("database", "wasi:config/store@0.2.0-rc.1"),
    ];

    fn check(sidecar: &str) -> Result<(), String> {
        let imports: Vec<_> = IMPORTS.iter().filter_map(|(label, name)| LabelledImport::new(label, name)).collect();
        let sidecar = Sidecar::parse(sidecar)?;
        super::check(&sidecar.imports, &imports).map_err(|error| error.to_string())
    }

    const VALUES: &str = "[imports.database.config]\nurl = \"x\"\n";

    #[test]
    fn settings_must_fit_to_the_imports() {
        assert_eq!(check(VALUES), Ok(()));
        assert_eq!(check("[imports.database]\nconfig = {}"), Ok(()));
        assert_eq!(check(&format!("{VALUES}[imports.cache]\nprefix = \"\"\n[imports.audit]\ncontext = \"a\"")), Ok(()));
        let long = format!("[imports.cache]\nprefix = \"{}\"", "x".repeat(PREFIX_BYTES + 1));
        for (sidecar, words) in [
            (
                "",
                "its import `database` of `wasi:config/store@0.2.0-rc.1` has no values; add [imports.database.config]",
            ),
            ("[imports.database]", "has no values"),
            ("[imports.cash]\nprefix = \"a\"", "no labelled import `cash`; its labels are `cache`, `counters`"),
            ("[imports.cache]\ncontext = \"a\"", "`context`, which `wasi:keyvalue/store@0.2.0-draft2` does not have"),
            ("[imports.counters]\nprefix = \"a\"", "`prefix`, which `wasi:keyvalue/atomics"),
            ("[imports.cache]\nbucket = \"a\"", "`imports.cache.bucket`: unknown key"),
            (&long, "at most 256 bytes"),
        ] {
            let error = check(sidecar).unwrap_err();
            assert!(error.contains(words), "{sidecar}: {error}");
        }
    }

    #[test]
    fn labels_have_defaults() {
        let sidecar =
            Sidecar::parse("[imports.a]\nprefix = \"shared/\"\ncontext = \"b\"\n[imports.c.config]\nk = \"v\"");
        let settings = ImportSettings::new(&sidecar.unwrap().imports, &SecretStore::default()).unwrap();
        assert_eq!((settings.prefix("a").as_str(), settings.prefix("b").as_str()), ("shared/", "b/"));
        assert_eq!((settings.context("a"), settings.context("d")), ("b", "d"));
        assert_eq!(settings.values("c").unwrap()["k"], "v");
    }
}
