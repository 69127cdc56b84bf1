//! Requirements of Python packages.

/// The normalized name (PEP 503) of a requirement (PEP 508), such as of `requests[socks]>=2`.
pub(crate) fn requirement_name(requirement: &str) -> String {
    let is_part = |character: &char| character.is_ascii_alphanumeric() || "-_.".contains(*character);
    requirement.trim_start().chars().take_while(is_part).collect::<String>().to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_has_a_name() {
        for (requirement, expected) in [
            ("requests", "requests"),
            (" Sandbus >= 0.1", "sandbus"),
            ("typing_extensions[x]~=4.0; python_version < '3.13'", "typing-extensions"),
            ("zope.interface==5", "zope-interface"),
        ] {
            assert_eq!(requirement_name(requirement), expected);
        }
    }
}
