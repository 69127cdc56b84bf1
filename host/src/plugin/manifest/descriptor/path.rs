//! Validates the paths of routes, and brings the paths of requests into the form in which they are compared.

use std::borrow::Cow;

/// The rules of paths, which the SDK's macro checks at compile time.
mod rules {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk/macros/src/route/path.rs"));
}

pub(crate) use rules::RESERVED;

/// Checks a path.
///
/// # Errors
/// The fault, and what to write instead.
pub(crate) fn check(path: &str) -> Result<(), String> {
    // Checks the number of parameters before the router sees them: the router names parameters by the letters a to z,
    // and panics if there are more.
    rules::check(path)?;
    matchit::Router::new().insert(path, ()).map_err(|error| error.to_string())
}

/// The normal form of the path of a request (RFC 3986, section 6.2.2): the digits of escapes in upper case, and
/// characters that need no escape without one. Dot segments stay, since clients resolve them.
pub(crate) fn normal_form(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if rules::is_unreserved(byte) => normal.push(char::from(byte)),
            Some(byte) => normal.push_str(&format!("%{byte:02X}")),
            None => normal.push('%'),
        }
        rest = if digits.is_some() { &after[2..] } else { after };
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::rules::PARAMETER_LIMIT;
    use super::*;
    use crate::plugin::manifest::descriptor::METHODS;

    /// The SDKs read the same table.
    fn table() -> Value {
        serde_json::from_str(include_str!("../../../../../guest-sdk/conformance/route-paths.json")).unwrap()
    }

    #[test]
    fn paths_are_accepted_and_refused_as_in_the_table() {
        let table = table();
        for path in table["accepted"].as_array().unwrap() {
            let path = path.as_str().unwrap();
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for row in table["refused"].as_array().unwrap() {
            let (path, words) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
            let refused = check(path);
            assert!(refused.as_ref().is_err_and(|reason| reason.contains(words)), "{path}: {refused:?}");
        }
        assert_eq!(table["methods"], serde_json::json!(METHODS));
    }

    #[test]
    fn a_path_has_a_limited_number_of_parameters() {
        assert_eq!(table()["max_parameters"], PARAMETER_LIMIT);
        let many = |count: usize| (0..count).map(|number| format!("/{{p{number}}}")).collect::<String>();
        assert_eq!(check(&many(PARAMETER_LIMIT)), Ok(()));
        for count in [PARAMETER_LIMIT + 1, 150] {
            assert!(check(&many(count)).unwrap_err().contains("at most 16"), "{count}");
        }
    }

    #[test]
    fn requests_have_a_normal_form() {
        for (path, normal) in [
            ("/a", "/a"),
            ("/%c3%9F", "/%C3%9F"),
            ("/%7euser/%61", "/~user/a"),
            ("/a%2fb%25", "/a%2Fb%25"),
            ("/%2561", "/%2561"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz%2f", "/%zz%2F"),
            ("/%%41", "/%A"),
            ("/%\u{e9}", "/%\u{e9}"),
        ] {
            assert_eq!(normal_form(path), normal, "{path}");
        }
    }
}
