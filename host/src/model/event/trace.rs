//! The trace of an event (CloudEvents Distributed Tracing extension; W3C Trace Context).

use axum::http::HeaderMap;

use super::TRACE;

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
}
