// Paths of routes: segments of RFC 3986, section 3.3. A segment may have a parameter in braces. A path is written in
// normal form (section 6.2.2), in which the router compares it with requests. A path that no client sends would never
// match, and a spelling of parameters from another framework would be taken literally, so both are refused.
//
// The host includes this file, so that it accepts what the macro accepts.

use std::collections::BTreeSet;

/// Paths that the host itself serves.
pub(crate) const RESERVED: [&str; 1] = ["/events"];
/// How many parameters a route may have.
pub(crate) const PARAMETER_LIMIT: usize = 16;

/// Checks a route's path. An error is the fault, and what to write instead.
pub(crate) fn check(path: &str) -> Result<(), String> {
    if RESERVED.contains(&path) {
        return Err("it is reserved for the host; choose another".to_owned());
    }
    let Some(rest) = path.strip_prefix('/') else { return Err("it does not begin with a slash".to_owned()) };
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
    Ok(())
}

/// Checks a segment, and returns the name of its parameter, if it has one.
fn check_segment(segment: &str, is_last: bool) -> Result<Option<&str>, String> {
    if matches!(segment.replace("%2E", ".").replace("%2e", ".").as_str(), "." | "..") {
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
    let (before, parameter, after) = divide(segment)?;
    check_text(before)?;
    check_text(after)?;
    let Some(parameter) = parameter else { return Ok(None) };
    let name = parameter.strip_prefix('*').unwrap_or(parameter);
    if name != parameter && (!is_last || !before.is_empty() || !after.is_empty()) {
        return Err(format!("`{{{parameter}}}` is not the last segment of the path"));
    }
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match is_name {
        true => Ok(Some(name)),
        false => {
            Err(format!("`{{{parameter}}}` is not a parameter; name it with letters from a to z, digits, `-` and `_`"))
        }
    }
}

/// Divides a segment into the text before its parameter, the parameter, and the text after it.
fn divide(segment: &str) -> Result<(&str, Option<&str>, &str), String> {
    let (before, parameter, after) = match segment.split_once('{') {
        None => (segment, None, ""),
        Some((before, rest)) => match rest.split_once('}') {
            Some((parameter, after)) => (before, Some(parameter), after),
            None if before.contains('}') => (before, None, ""),
            None => return Err("it has `{` without `}`".to_owned()),
        },
    };
    if after.contains('{') {
        return Err(format!("the segment `{segment}` has more than one parameter"));
    }
    if before.contains('}') || after.contains('}') {
        return Err("it has `}` without `{`".to_owned());
    }
    Ok((before, parameter, after))
}

/// Checks that a text has only characters of a segment (`pchar` in RFC 3986, section 3.3), in normal form.
fn check_text(text: &str) -> Result<(), String> {
    for (index, character) in text.char_indices() {
        let fault = match character {
            '?' => "it has a query; a route matches the path only, and its handler can read the query".to_owned(),
            '#' => "it has a fragment, which clients do not send; remove it".to_owned(),
            '<' | '>' => "it has angle brackets; write a parameter as `{name}`".to_owned(),
            '%' => match check_escape(&text.as_bytes()[index + 1..]) {
                Ok(()) => continue,
                Err(fault) => fault,
            },
            _ if is_path_character(character) => continue,
            _ => format!("it has `{character}`; write {} instead", percent_encoded(character)),
        };
        return Err(fault);
    }
    Ok(())
}

/// Checks that a text begins with the two digits of a percent-escape in normal form (RFC 3986, section 6.2.2): they are
/// in upper case, and their character must be escaped.
fn check_escape(text: &[u8]) -> Result<(), String> {
    let digits = text.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
    if digits.len() < 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("`%` is not followed by two hexadecimal digits; write `%25` for the character itself".to_owned());
    }
    if digits.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!("it has `%{digits}`; write the digits in upper case: `%{}`", digits.to_ascii_uppercase()));
    }
    match u8::from_str_radix(digits, 16) {
        Ok(byte) if is_unreserved(byte) => {
            Err(format!("it has `%{digits}`, which means the same as `{0}`; write `{0}`", char::from(byte)))
        }
        _ => Ok(()),
    }
}

pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_path_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(character)
}

fn percent_encoded(character: char) -> String {
    character.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect()
}
