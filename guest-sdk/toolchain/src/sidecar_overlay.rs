//! The sidecar that applies while a project is developed: its `NAME.toml`, with `NAME.dev.toml` over it.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::Error;
use crate::build_profile::BuildProfile;
use crate::error::manifest_error;
use crate::files::read_if_exists;

/// The overlay of a sidecar: `NAME.dev.toml` next to `NAME.toml`.
#[must_use]
pub fn overlay_of(sidecar: &Path) -> PathBuf {
    sidecar.with_extension("dev.toml")
}

/// Reads the text of a sidecar for a profile. The result is `None` if there is no file.
///
/// Only [`BuildProfile::Quick`] applies the overlay: tables are merged key by key, and other values replace those of
/// the sidecar.
///
/// # Errors
/// If a file cannot be read, or if there is an overlay and one of the two is not TOML.
pub fn sidecar_text(sidecar: &Path, profile: BuildProfile) -> Result<Option<Vec<u8>>, Error> {
    let (overlay, own) = (overlay_of(sidecar), read_if_exists(sidecar)?);
    let Some(over) = read_if_exists(&overlay)?.filter(|_| profile == BuildProfile::Quick) else { return Ok(own) };
    let mut merged = parse(sidecar, &own.unwrap_or_default())?;
    merge(&mut merged, parse(&overlay, &over)?);
    Ok(Some(merged.to_string().into_bytes()))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Table, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| manifest_error(path, error.to_string()))?;
    text.parse().map_err(|error: toml::de::Error| {
        // The error's own text quotes the line, which may have a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        manifest_error(path, format!("line {}: {}", before.matches('\n').count() + 1, error.message()))
    })
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sidecar and its overlay, and the text for development; an error if it begins with `!`.
    #[test]
    fn an_overlay_is_merged_into_the_sidecar_for_development_only() {
        let base = "# keys\n[config]\na = \"1\"\nb = \"1\"\n[grants]\nhttp = [\"a.example\"]\n";
        for (own, over, expected) in [
            (None, None, None),
            (Some(base), None, Some(base)),
            (None, Some("[config]\na = \"2\"\n"), Some("[config]\na = \"2\"\n")),
            (
                Some(base),
                Some("[config]\nb = \"2\"\n[grants]\nhttp = [\"localhost:9000\"]\n[limits]\ntimeout = \"2s\"\n"),
                Some(
                    "[config]\na = \"1\"\nb = \"2\"\n\n[grants]\nhttp = [\"localhost:9000\"]\n\n[limits]\ntimeout = \"2s\"\n",
                ),
            ),
            (Some(base), Some("[config]\nkey = \"s3cret"), Some("!p.dev.toml")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let sidecar = directory.path().join("p.toml");
            own.map(|text| std::fs::write(&sidecar, text)).transpose().unwrap();
            over.map(|text| std::fs::write(overlay_of(&sidecar), text)).transpose().unwrap();
            let text =
                |profile| sidecar_text(&sidecar, profile).map(|text| text.map(|text| String::from_utf8(text).unwrap()));
            assert_eq!(text(BuildProfile::Release).unwrap().as_deref(), own);
            match (text(BuildProfile::Quick), expected.and_then(|expected| expected.strip_prefix('!'))) {
                (Ok(text), None) => assert_eq!(text.as_deref(), expected),
                (Err(error), Some(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part) && error.contains("line 2") && !error.contains("s3cret"), "{error}");
                }
                (found, _) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }
}
