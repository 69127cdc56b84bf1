//! Validates the paths of routes: segments of RFC 3986, section 3.3, of which some have a parameter in braces.
//!
//! The router compares paths as they are sent. A path that no client sends would never match, and a spelling of
//! parameters from another framework would be taken literally, so both are refused.

use std::collections::BTreeSet;

/// How many parameters a route may have.
pub(super) const PARAMETER_LIMIT: usize = 16;

/// Checks a path.
///
/// # Errors
/// The fault, and what to write instead.
pub(super) fn check(path: &str) -> Result<(), String> {
    let Some(rest) = path.strip_prefix('/') else { return Err("it does not begin with a slash".to_owned()) };
    check_characters(path)?;
    // Before the router sees them: it names them by the letters from a to z, and panics after these.
    let parameters = path.matches('{').count();
    if parameters > PARAMETER_LIMIT {
        return Err(format!("it has {parameters} parameters; at most {PARAMETER_LIMIT} are allowed"));
    }
    let mut names = BTreeSet::new();
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && !is_last {
            return Err("it has an empty segment (`//`); write one slash".to_owned());
        }
        if let Some(name) = check_segment(segment, is_last)?
            && !names.insert(name)
        {
            return Err(format!("it has the parameter `{name}` twice; rename one"));
        }
    }
    matchit::Router::new().insert(path, ()).map_err(|error| error.to_string())
}

/// Checks that a path has only characters of a path (`pchar` in RFC 3986, section 3.3), slashes and braces.
fn check_characters(path: &str) -> Result<(), String> {
    for (index, character) in path.char_indices() {
        let fault = match character {
            '?' => "it has a query; a route matches the path only, and its handler can read the query".to_owned(),
            '#' => "it has a fragment, which clients do not send; remove it".to_owned(),
            '<' | '>' => "it has angle brackets; write a parameter as `{name}`".to_owned(),
            '%' if !is_escape(&path.as_bytes()[index..]) => {
                "`%` is not followed by two hexadecimal digits in upper case; write `%25` for the character itself"
                    .to_owned()
            }
            _ if is_path_character(character) => continue,
            _ => format!("it has `{character}`; write {} instead", percent_encoded(character)),
        };
        return Err(fault);
    }
    Ok(())
}

/// Escapes are compared as text, and their digits are in upper case in the normal form (RFC 3986, section 6.2.2.1).
fn is_escape(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    text.len() >= 3 && text[1..3].iter().all(is_digit)
}

fn is_path_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/{}%".contains(character)
}

fn percent_encoded(character: char) -> String {
    character.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Checks a segment, and returns the name of its parameter, if it has one.
fn check_segment(segment: &str, is_last: bool) -> Result<Option<&str>, String> {
    if matches!(segment.replace("%2E", ".").as_str(), "." | "..") {
        return Err(format!("it has the segment `{segment}`, which clients resolve before they send a request"));
    }
    if let Some(name) = segment.strip_prefix(':') {
        return Err(format!("it has the segment `{segment}`; write a parameter as `{{{name}}}`"));
    }
    if segment.starts_with('*') {
        return Err(format!("it has the segment `{segment}`; write the rest of a path as `{{*rest}}`"));
    }
    if segment.contains("{{") || segment.contains("}}") {
        return Err("it has a doubled brace; write %7B and %7D for the characters themselves".to_owned());
    }
    let Some((_, after)) = segment.split_once('{') else {
        return if segment.contains('}') { Err("it has `}` without `{`".to_owned()) } else { Ok(None) };
    };
    let Some((parameter, suffix)) = after.split_once('}') else { return Err("it has `{` without `}`".to_owned()) };
    if suffix.contains(['{', '}']) {
        return Err(format!("the segment `{segment}` has more than one parameter"));
    }
    let name = parameter.strip_prefix('*').unwrap_or(parameter);
    if name != parameter && (!is_last || segment.len() != parameter.len() + 2) {
        return Err(format!("`{{{parameter}}}` is not the last segment of the path"));
    }
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match is_name {
        true => Ok(Some(name)),
        false => Err(format!("`{{{parameter}}}` is not a parameter; use letters, digits, `-` and `_`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986, section 3.3.
    #[test]
    fn paths_that_no_request_has_are_refused() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c/d-e_f~g",
            "/users/{id}",
            "/users/{user-id}/orders/{order_id}",
            "/files/{*rest}",
            "/{*rest}",
            "/files/v{version}",
            "/users/{id}.json",
            "/v1/users:search",
            "/a;b=1,2/@c/$d/(e)/f!/g*h/i+j/k'l/m&n",
            "/stra%C3%9Fe",
            "/a%20b",
            "/%25",
            "/a..b/...",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for (path, words) in [
            ("", "slash"),
            ("users", "slash"),
            ("{a}", "slash"),
            ("/a?b=c", "query"),
            ("/a?", "query"),
            ("/a#b", "fragment"),
            ("/a b", "%20"),
            ("/a\u{a0}b", "%C2%A0"),
            ("/stra\u{df}e", "%C3%9F"),
            ("/\u{1f980}", "%F0%9F%A6%80"),
            ("/a\"b", "%22"),
            ("/a\\b", "%5C"),
            ("/a|b", "%7C"),
            ("/a^b", "%5E"),
            ("/a`b", "%60"),
            ("/[a]", "%5B"),
            ("/100%", "%25"),
            ("/%4", "%25"),
            ("/%zz", "%25"),
            ("/stra%c3%9fe", "upper case"),
            ("//", "empty segment"),
            ("//a", "empty segment"),
            ("/a//b", "empty segment"),
            ("/a//", "empty segment"),
            ("/.", "resolve"),
            ("/a/../b", "resolve"),
            ("/a/%2E%2E", "resolve"),
            ("/a/.%2E/b", "resolve"),
            ("/hello/:a", "{a}"),
            ("/:a/b", "{a}"),
            ("/users/<id>", "{name}"),
            ("/*", "{*rest}"),
            ("/files/*rest", "{*rest}"),
            ("/**", "{*rest}"),
            ("/{a}/{a}", "twice"),
            ("/{a}/b/{*a}", "twice"),
            ("/{}", "not a parameter"),
            ("/{*}", "not a parameter"),
            ("/{a b}", "%20"),
            ("/{a.b}", "not a parameter"),
            ("/{a:int}", "not a parameter"),
            ("/{a", "without `}`"),
            ("/a}", "without `{`"),
            ("/}a{", "without `}`"),
            ("/{a}{b}", "more than one parameter"),
            ("/{{a}}", "%7B"),
            ("/{*rest}/a", "last segment"),
            ("/x{*rest}", "last segment"),
            ("/{*rest}x", "last segment"),
        ] {
            let refused = check(path);
            assert!(refused.as_ref().is_err_and(|reason| reason.contains(words)), "{path}: {refused:?}");
        }
        let many = |count: usize| (0..count).map(|number| format!("/{{p{number}}}")).collect::<String>();
        assert_eq!(check(&many(PARAMETER_LIMIT)), Ok(()));
        for count in [PARAMETER_LIMIT + 1, 150] {
            assert!(check(&many(count)).unwrap_err().contains("at most 16"), "{count}");
        }
    }
}
