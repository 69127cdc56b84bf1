//! Paths of routes. A request's path has no query, no fragment and, outside of parameters, only the characters that RFC
//! 3986 (section 3.3) allows in a segment; a route with anything else would never match.

use std::collections::BTreeSet;

/// Checks a route's path.
pub(super) fn check(path: &str) -> Result<(), String> {
    let Some(rest) = path.strip_prefix('/') else { return Err("a path begins with a slash".to_owned()) };
    if path.contains(['?', '#']) {
        return Err(
            "the path of a route ends before `?` and `#`; the handler finds the query in its `Request`".to_owned()
        );
    }
    let mut parameters = BTreeSet::new();
    let segments: Vec<_> = rest.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let Some(parameter) = check_segment(segment)? else { continue };
        let name = parameter.strip_prefix('*').unwrap_or(parameter);
        if name.len() < parameter.len() && index + 1 < segments.len() {
            return Err(format!("`{{{parameter}}}` takes the rest of the path, and so it is the last segment"));
        }
        if !parameters.insert(name) {
            return Err(format!("the parameter `{name}` occurs twice; give each one its own name"));
        }
    }
    Ok(())
}

/// Checks a segment, and returns its parameter with the star, if it is one.
fn check_segment(segment: &str) -> Result<Option<&str>, String> {
    if let Some(parameter) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let name = parameter.strip_prefix('*').unwrap_or(parameter);
        let is_plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!("the parameter `{{{parameter}}}` needs a name of letters, digits, `-` and `_`"));
        }
        return Ok(Some(parameter));
    }
    if let Some(name) = segment.strip_prefix(':') {
        return Err(format!("a parameter stands in braces: `{{{name}}}` in place of `:{name}`"));
    }
    if let Some(name) = segment.strip_prefix('*') {
        let name = if name.is_empty() { "rest" } else { name };
        return Err(format!("the rest of a path stands in braces: `{{*{name}}}` in place of `{segment}`"));
    }
    if segment.contains(['{', '}']) {
        return Err("a parameter is a whole segment of the path: `/orders/{id}`".to_owned());
    }
    if matches!(segment, "." | "..") {
        return Err(format!("clients resolve the segment `{segment}`, so that no request would match"));
    }
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let is_escape = byte == b'%' && [bytes.next(), bytes.next()].iter().all(is_hex_digit);
        if !is_escape && !is_path_byte(byte) {
            return Err("a path has letters, digits and `-._~!$&'()*+,;=:@`; percent-encode anything else".to_owned());
        }
    }
    Ok(None)
}

fn is_hex_digit(byte: &Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_hexdigit())
}

/// `pchar` without escapes.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::check;

    /// RFC 3986, section 3.3, and the parameters of the contract's `route.path`.
    #[test]
    fn paths_that_no_request_has_are_refused() {
        for path in [
            "/",
            "/users",
            "/users/",
            "/users/{id}",
            "/users/{id}/orders/{order}",
            "/files/{*path}",
            "/{größe}",
            "/v1/things:batch",
            "/a.b/~c/d%20e",
            "/(a)/b;c=1",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for (path, part) in [
            ("", "slash"),
            ("users", "slash"),
            ("/hello/:a", "`{a}`"),
            ("/hello/*rest", "`{*rest}`"),
            ("/hello/*", "`{*rest}`"),
            ("/hello?a=1", "query"),
            ("/hello#a", "`#`"),
            ("/hello world", "percent-encode"),
            ("/grüße", "percent-encode"),
            ("/a\tb", "percent-encode"),
            ("/a%2", "percent-encode"),
            ("/a%zz", "percent-encode"),
            ("/a|b", "percent-encode"),
            ("/{a}/{a}", "twice"),
            ("/{a}/{*a}", "twice"),
            ("/{*a}/b", "last segment"),
            ("/{}", "name"),
            ("/{*}", "name"),
            ("/{a b}", "name"),
            ("/{a}{b}", "name"),
            ("/x{a}", "whole segment"),
            ("/{a", "whole segment"),
            ("/a/../b", "no request"),
            ("/./b", "no request"),
        ] {
            let message = check(path).expect_err(path);
            assert!(message.contains(part), "{path}: {message}");
        }
    }
}
