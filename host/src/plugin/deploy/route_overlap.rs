//! Whether two routes can match the same request, and which of them the router then chooses.

use crate::plugin::manifest::descriptor::Route;

/// How two routes overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// No request matches both.
    None,
    /// Requests that match both go to the first route.
    First,
    /// Requests that match both go to the second route.
    Second,
    /// The router refuses to hold both.
    Same,
}

/// Compares two routes. A `HEAD` request without its own route goes to the `GET` route, so a `HEAD` route takes
/// requests from every `GET` route that it overlaps.
pub(crate) fn of(one: &Route, other: &Route) -> Overlap {
    let heads = [("HEAD", "GET"), ("GET", "HEAD")];
    let methods = (one.method.as_str(), other.method.as_str());
    if one.method != other.method && !heads.contains(&methods) {
        return Overlap::None;
    }
    let Some(request) = request_of_both(&one.path, &other.path) else { return Overlap::None };
    match methods {
        ("HEAD", "GET") => Overlap::First,
        ("GET", "HEAD") => Overlap::Second,
        _ => winner(&one.path, &other.path, &request),
    }
}

fn winner(one: &str, other: &str, request: &str) -> Overlap {
    let mut router = matchit::Router::new();
    if router.insert(one, Overlap::First).is_err() {
        return Overlap::None;
    }
    if router.insert(other, Overlap::Second).is_err() {
        return Overlap::Same;
    }
    router.at(request).map_or(Overlap::None, |matched| *matched.value)
}

/// A segment of a path.
enum Segment {
    Literal(String),
    /// A parameter with its prefix and suffix.
    Parameter(String, String),
    /// The rest of the path, which must not be empty.
    Rest,
}

impl Segment {
    fn parse(text: &str) -> Self {
        let literal = |text: &str| text.replace("{{", "{").replace("}}", "}");
        // A doubled brace is a literal one.
        let opens = |index: &usize| !text[index + 1..].starts_with('{') && !text[..*index].ends_with('{');
        let Some(start) = text.match_indices('{').map(|(index, _)| index).find(opens) else {
            return Self::Literal(literal(text));
        };
        if text[start + 1..].starts_with('*') {
            return Self::Rest;
        }
        let end = text[start..].find('}').map_or(text.len(), |end| start + end + 1);
        Self::Parameter(literal(&text[..start]), literal(&text[end..]))
    }

    /// A text that the segment matches.
    fn sample(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Parameter(before, behind) => format!("{before}x{behind}"),
            Self::Rest => "x".to_owned(),
        }
    }

    /// A text that both segments match, if there is one.
    fn sample_of_both(&self, other: &Self) -> Option<String> {
        let fits = |text: &str, before: &str, behind: &str| {
            text.len() > before.len() + behind.len() && text.starts_with(before) && text.ends_with(behind)
        };
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => (one == other).then(|| one.clone()),
            (Self::Literal(text), Self::Parameter(before, behind))
            | (Self::Parameter(before, behind), Self::Literal(text)) => {
                fits(text, before, behind).then(|| text.clone())
            }
            (Self::Parameter(before, behind), Self::Parameter(other_before, other_behind)) => {
                let longer =
                    |one: &str, other: &str| if one.len() > other.len() { one.to_owned() } else { other.to_owned() };
                let (start, end) = (longer(before, other_before), longer(behind, other_behind));
                let is_compatible = start.starts_with(before.as_str())
                    && start.starts_with(other_before.as_str())
                    && end.ends_with(behind.as_str())
                    && end.ends_with(other_behind.as_str());
                is_compatible.then(|| format!("{start}x{end}"))
            }
            (Self::Rest, other) | (other, Self::Rest) => Some(other.sample()),
        }
    }
}

/// A path that both routes match, if there is one.
fn request_of_both(one: &str, other: &str) -> Option<String> {
    let (mut one, mut other) = (one.split('/').map(Segment::parse), other.split('/').map(Segment::parse));
    let mut path = Vec::new();
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Some(path.join("/")),
            (Some(Segment::Rest), Some(first)) => return rest(path, first, other),
            (Some(first), Some(Segment::Rest)) => return rest(path, first, one),
            (Some(first), Some(second)) => path.push(first.sample_of_both(&second)?),
            (Some(_), None) | (None, Some(_)) => return None,
        }
    }
}

/// Completes a path whose remainder is matched by a catch-all.
fn rest(mut path: Vec<String>, first: Segment, more: impl Iterator<Item = Segment>) -> Option<String> {
    let end: Vec<_> = std::iter::once(first).chain(more).map(|segment| segment.sample()).collect();
    if end.iter().all(String::is_empty) {
        return None;
    }
    path.extend(end);
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> Route {
        let (method, path) = text.split_once(' ').unwrap();
        Route { method: method.to_owned(), path: path.to_owned() }
    }

    #[test]
    fn overlapping_requests_go_to_the_narrower_route() {
        for (one, other, expected) in [
            ("GET /a", "GET /a", Overlap::Same),
            ("GET /a/{x}", "GET /a/{y}", Overlap::Same),
            ("GET /{*x}", "GET /{*y}", Overlap::Same),
            ("GET /a", "POST /a", Overlap::None),
            ("GET /a", "GET /b", Overlap::None),
            ("GET /a", "GET /a/", Overlap::None),
            ("GET /a", "GET /a/{x}", Overlap::None),
            ("POST /echo/fixed", "POST /echo/{word}", Overlap::First),
            ("POST /echo/{word}", "POST /echo/fixed", Overlap::Second),
            ("GET /{*rest}", "GET /a", Overlap::Second),
            ("GET /{*rest}", "GET /", Overlap::None),
            ("GET /a/{*rest}", "GET /a/{x}", Overlap::Same),
            ("GET /a/{*rest}", "GET /a/{x}/b", Overlap::Same),
            ("GET /a/{*rest}", "GET /a", Overlap::None),
            ("GET /a/{*rest}", "GET /b/{*rest}", Overlap::None),
            ("GET /a/{x}", "GET /{y}/b", Overlap::First),
            ("GET /{y}/b", "GET /a/{x}", Overlap::Second),
            ("GET /a/{x}/c", "GET /a/b/{y}", Overlap::Second),
            ("GET /a/{x}/c", "GET /a/b/d", Overlap::None),
            ("HEAD /a", "GET /a", Overlap::First),
            ("HEAD /{*rest}", "GET /a", Overlap::First),
            ("GET /a/{x}", "HEAD /a/b", Overlap::Second),
            ("HEAD /a", "POST /a", Overlap::None),
            ("GET /{{a}}", "GET /{x}", Overlap::First),
            ("GET /{{a}}", "GET /{{b}}", Overlap::None),
        ] {
            assert_eq!(of(&route(one), &route(other)), expected, "{one} and {other}");
        }
    }
}
