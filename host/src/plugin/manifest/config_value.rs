//! Values of `[config]` in a sidecar: texts, and secrets that are read from elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::secrecy::HIDDEN;
use crate::secrets::SecretSource;

/// A value of `[config]`. Debug output hides texts, because they may be secret, too.
#[derive(Clone, PartialEq, Eq)]
pub enum ConfigValue {
    /// The value itself.
    Text(String),
    /// Where the value is read from.
    Secret(SecretSource),
}

impl fmt::Debug for ConfigValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => formatter.write_str(HIDDEN),
            Self::Secret(source) => fmt::Debug::fmt(source, formatter),
        }
    }
}

/// A secret as a table: exactly one of its keys is set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretTable {
    file: Option<PathBuf>,
    env: Option<String>,
    credential: Option<String>,
}

impl SecretTable {
    fn source(self) -> Option<SecretSource> {
        match (self.file, self.env, self.credential) {
            (Some(file), None, None) => Some(SecretSource::File(file)),
            (None, Some(name), None) => Some(SecretSource::Env(name)),
            (None, None, Some(name)) => Some(SecretSource::Credential(name)),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = ConfigValue;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string, or a table with `file`, `env` or `credential`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConfigValue, A::Error> {
                let table = SecretTable::deserialize(MapAccessDeserializer::new(map))?;
                let expected = "write exactly one of `file`, `env` and `credential`";
                table.source().map(ConfigValue::Secret).ok_or_else(|| A::Error::custom(expected))
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

/// The forms of a value of `[config]` in a JSON Schema.
#[derive(JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum ConfigValueForm {
    /// The value itself.
    Text(String),
    /// The file that a secret is read from.
    File { file: PathBuf },
    /// The environment variable that a secret is read from, without the prefix `SANDBUS_SECRET_`.
    Env { env: String },
    /// The credential of the systemd service that a secret is read from.
    Credential { credential: String },
}

/// The values of `[config]`, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ConfigValues(BTreeMap<String, ConfigValue>);

impl ConfigValues {
    /// Where the secrets among the values come from.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        self.0.values().filter_map(|value| match value {
            ConfigValue::Secret(source) => Some(source),
            ConfigValue::Text(_) => None,
        })
    }
}

impl Deref for ConfigValues {
    type Target = BTreeMap<String, ConfigValue>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for ConfigValues {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl FromIterator<(String, ConfigValue)> for ConfigValues {
    fn from_iter<I: IntoIterator<Item = (String, ConfigValue)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl IntoIterator for ConfigValues {
    type Item = (String, ConfigValue);
    type IntoIter = std::collections::btree_map::IntoIter<String, ConfigValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Result<ConfigValues, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_value_is_a_text_or_says_where_it_comes_from() {
        let read = values("a = \"t3xt\"\nb = { file = \"/run/secrets/b\" }\nc.env = \"C\"\n[d]\ncredential = \"d\"\n");
        let read = read.unwrap();
        assert_eq!(read["a"], ConfigValue::Text("t3xt".to_owned()));
        assert_eq!(read["b"], ConfigValue::Secret(SecretSource::File("/run/secrets/b".into())));
        assert_eq!(read["c"], ConfigValue::Secret(SecretSource::Env("C".to_owned())));
        assert_eq!(read["d"], ConfigValue::Secret(SecretSource::Credential("d".to_owned())));
        assert_eq!(read.secrets().count(), 3);
        assert!(!format!("{read:?}").contains("t3xt"), "{read:?}");
        for (text, words) in [
            ("a = 5", "a string, or a table with `file`"),
            ("a = {}", "exactly one of"),
            ("a = { file = \"/b\", env = \"C\" }", "exactly one of"),
            ("a = { path = \"/b\" }", "unknown field `path`"),
            ("a = { file = 5 }", "expected path string"),
        ] {
            let refused = values(text);
            assert!(refused.as_ref().is_err_and(|reason| reason.contains(words)), "{text}: {refused:?}");
        }
    }
}
