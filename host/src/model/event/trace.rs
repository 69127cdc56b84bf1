//! The trace of an event (CloudEvents Distributed Tracing extension; W3C Trace Context).

use std::collections::BTreeMap;

use axum::http::HeaderMap;

use super::{Event, TRACE};
use crate::clock::Timestamp;

/// The entry of the host in a `tracestate`: when a delayed event was published.
const PUBLISHED: &str = "sandbus=t";

/// The trace of a request, as extension attributes; empty if the `traceparent` is malformed or repeated. Several
/// `tracestate` headers form one list (Trace Context, section 3.3.1).
#[must_use]
pub fn trace_of(headers: &HeaderMap) -> Vec<(String, String)> {
    let all = |name: &str| -> Option<String> {
        let values = headers.get_all(name).iter().map(|value| value.to_str().map(str::trim));
        let values: Vec<_> = values.collect::<Result<_, _>>().ok()?;
        let values: Vec<_> = values.into_iter().filter(|value| !value.is_empty()).collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    let [parent, state] = TRACE;
    let Some(traceparent) = all(parent).filter(|text| is_trace(text.as_bytes())) else { return Vec::new() };
    let tracestate = all(state).map(|text| (state.to_owned(), text));
    std::iter::once((parent.to_owned(), traceparent)).chain(tracestate).collect()
}

/// Notes in the `tracestate` of a delayed event when it was published. The log only knows when it became due.
pub fn mark_published(extensions: &mut BTreeMap<String, String>, at: Timestamp) {
    let others = extensions.get(TRACE[1]).and_then(|state| without_mark(state));
    let others = others.map(|others| format!(",{others}")).unwrap_or_default();
    extensions.insert(TRACE[1].to_owned(), format!("{PUBLISHED}{}{others}", at.0));
}

/// When a delayed event was published, if that is noted.
#[must_use]
pub fn published_at(event: &Event) -> Option<Timestamp> {
    let mut entries = event.extensions.get(TRACE[1])?.split(',');
    entries.find_map(|entry| entry.trim().strip_prefix(PUBLISHED)?.parse().ok()).map(Timestamp)
}

/// A `tracestate` without the host's entry, which is about one event. None if nothing remains.
pub(super) fn without_mark(state: &str) -> Option<String> {
    let others: Vec<_> = state.split(',').map(str::trim).filter(|entry| !entry.starts_with(PUBLISHED)).collect();
    let others = others.join(",");
    (!others.is_empty()).then_some(others)
}

/// Whether a `traceparent` is well formed (Trace Context, section 3.2).
fn is_trace(value: &[u8]) -> bool {
    let parts: Vec<_> = value.split(|byte| *byte == b'-').collect();
    let lengths = [2, 32, 16, 2];
    parts.len() >= lengths.len()
        && parts.iter().zip(lengths).all(|(part, length)| part.len() == length)
        && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn trace(pairs: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        trace_of(&headers)
    }

    #[test]
    fn tracestate_headers_are_joined_and_traceparent_is_unique() {
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let parent = attribute("traceparent", PARENT);
        assert_eq!(trace(&[("traceparent", PARENT)]), std::slice::from_ref(&parent));
        let states =
            trace(&[("tracestate", "a=1,b=2"), ("traceparent", PARENT), ("tracestate", ""), ("tracestate", " c=3")]);
        assert_eq!(states, [parent, attribute("tracestate", "a=1,b=2,c=3")]);
        assert!(trace(&[("traceparent", PARENT), ("traceparent", PARENT)]).is_empty());
        assert!(trace(&[("traceparent", "00-x-y-01"), ("tracestate", "a=1")]).is_empty());
        assert!(trace(&[("tracestate", "a=1")]).is_empty());
    }

    #[test]
    fn the_time_of_publishing_belongs_to_one_event() {
        let event = |state: &str| Event {
            extensions: BTreeMap::from([
                ("traceparent".to_owned(), PARENT.to_owned()),
                ("tracestate".to_owned(), state.to_owned()),
            ]),
            ..Event::default()
        };
        assert_eq!(published_at(&event("a=1")), None);
        let mut marked = event("a=1,b=2");
        mark_published(&mut marked.extensions, Timestamp(7));
        mark_published(&mut marked.extensions, Timestamp(9));
        assert_eq!(marked.attribute("tracestate"), Some("sandbus=t9,a=1,b=2"));
        assert_eq!(published_at(&marked), Some(Timestamp(9)));
        assert_eq!(marked.inherited()["tracestate"], "a=1,b=2");
        let mut alone = Event::default();
        mark_published(&mut alone.extensions, Timestamp(7));
        assert_eq!((published_at(&alone), alone.inherited().get("tracestate")), (Some(Timestamp(7)), None));
    }
}
