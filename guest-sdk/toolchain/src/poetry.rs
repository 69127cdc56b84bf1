//! Poetry's dependencies as requirements of PEP 508.

use serde_json::Value;

/// The requirements in `[tool.poetry.dependencies]` that come from a registry: neither `python` nor dependencies by
/// path.
pub(crate) fn requirements(manifest: &Value) -> Vec<String> {
    let table = manifest["tool"]["poetry"]["dependencies"].as_object().into_iter().flatten();
    table.filter(|(name, _)| *name != "python").filter_map(|(name, wanted)| requirement(name, wanted)).collect()
}

fn requirement(name: &str, wanted: &Value) -> Option<String> {
    let version = match wanted {
        Value::String(version) => version,
        Value::Object(table) if table.get("optional").is_none_or(|optional| *optional == false) => {
            table.get("version")?.as_str()?
        }
        _ => return None,
    };
    let extras = wanted["extras"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
    let versions: Vec<_> =
        version.split(',').map(|part| constraint(part.trim())).filter(|part| !part.is_empty()).collect();
    Some(format!("{name}{extras}{}", versions.join(",")))
}

/// Converts poetry's version constraint into one of PEP 440: `^1.2` becomes `>=1.2,<2`.
fn constraint(text: &str) -> String {
    if let Some(version) = text.strip_prefix('^') {
        // A caret keeps all parts up to the first one that is not zero.
        let kept = parts(version).iter().position(|part| *part != 0).unwrap_or(parts(version).len().saturating_sub(1));
        return range(version, kept);
    }
    if let Some(version) = text.strip_prefix('~').filter(|version| !version.starts_with('=')) {
        return range(version, usize::from(parts(version).len() > 1));
    }
    match text {
        "*" => String::new(),
        exact if exact.starts_with(|first: char| first.is_ascii_digit()) => format!("=={exact}"),
        other => other.to_owned(),
    }
}

/// The range that starts at a version and ends before the part at `index` increases.
fn range(version: &str, index: usize) -> String {
    let version = version.trim();
    let mut next: Vec<_> = parts(version).into_iter().take(index + 1).collect();
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    let next: Vec<_> = next.iter().map(ToString::to_string).collect();
    format!(">={version},<{}", next.join("."))
}

fn parts(version: &str) -> Vec<u64> {
    version.trim().split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_become_those_of_pip() {
        for (poetry, pip) in [
            ("^1.2.3", ">=1.2.3,<2"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0", ">=0,<1"),
            ("~1.2.3", ">=1.2.3,<1.3"),
            ("~1.2", ">=1.2,<1.3"),
            ("~1", ">=1,<2"),
            ("~=1.2", "~=1.2"),
            ("*", ""),
            ("2.1", "==2.1"),
            (">=1", ">=1"),
        ] {
            assert_eq!(constraint(poetry), pip, "{poetry}");
        }
    }

    #[test]
    fn dependencies_of_a_registry_are_requirements() {
        let manifest: Value = toml::from_str(
            "[tool.poetry.dependencies]\npython = \"^3.10\"\na = \"*\"\nb = { version = \">=1, <3\", extras = [\"x\", \"y\"] }\n\
             c = { path = \"../c\" }\nd = { version = \"1\", optional = true }\n",
        )
        .unwrap();
        assert_eq!(requirements(&manifest), ["a", "b[x,y]>=1,<3"]);
    }
}
