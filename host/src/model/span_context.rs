//! The identity of a span (W3C Trace Context), and how identities are derived.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::event::{CORRELATION_ID, CORRELATION_SOURCE, Event, TRACE};

/// The id of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// The identity of a span, and whether its trace is sampled. The decision is taken once per trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether the spans of the trace are exported.
    pub is_sampled: bool,
}

/// A hash of several texts. `kind` separates ids for different purposes.
fn digest(kind: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(kind);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The beginning of a hash. It is never zero, which is not a valid id.
fn beginning<const N: usize>(hash: [u8; 32]) -> [u8; N] {
    let mut id = [0; N];
    id.copy_from_slice(&hash[..N]);
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

impl TraceId {
    /// An id that is always the same for the same parts.
    #[must_use]
    pub fn derived(kind: &str, parts: &[&[u8]]) -> Self {
        Self(beginning(digest(kind, parts)))
    }

    /// The trace of an event that names none: that of its cause tree.
    #[must_use]
    pub fn of_cause_tree(event: &Event) -> Self {
        let (id, source) = match event.extensions.get(CORRELATION_ID) {
            Some(id) => (id, event.extensions.get(CORRELATION_SOURCE).map(String::as_str)),
            None => (&event.id, Some(event.source.as_str())),
        };
        Self::derived("cause-tree", &[source.unwrap_or_default().as_bytes(), id.as_bytes()])
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A span that stands for the trace as a whole, for contexts that are not sampled and so have no span.
    #[must_use]
    pub fn placeholder(&self) -> SpanId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[8..]);
        if id == [0; 8] {
            id[7] = 1;
        }
        SpanId(id)
    }
}

impl SpanId {
    /// An id that is always the same for the same parts.
    #[must_use]
    pub fn derived(kind: &str, parts: &[&[u8]]) -> Self {
        Self(beginning(digest(kind, parts)))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl SpanContext {
    /// Parses a `traceparent` (Trace Context, section 3.2). None if it is malformed, or an id is zero.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let [_]: [u8; 1] = bytes(version)?;
        let (trace, span, [flags]) = (bytes(trace)?, bytes(span)?, bytes::<1>(flags)?);
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace: TraceId(trace), span: SpanId(span), is_sampled: flags & 1 == 1 })
    }

    /// The context in an event's attributes.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        Self::parse(event.extensions.get(TRACE[0])?)
    }

    /// The `traceparent` of spans within this one.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }

    /// Makes this span the parent of an event.
    pub fn put_into(&self, extensions: &mut BTreeMap<String, String>) {
        extensions.insert(TRACE[0].to_owned(), self.traceparent());
    }
}

/// Reads lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn write_hex(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_parsed_strictly() {
        let parsed = SpanContext::parse(PARENT).unwrap();
        assert_eq!((parsed.traceparent().as_str(), parsed.is_sampled), (PARENT, true));
        assert!(!SpanContext::parse(&PARENT.replace("-01", "-02")).unwrap().is_sampled);
        assert!(SpanContext::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").is_some());
        for malformed in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0é",
        ] {
            assert_eq!(SpanContext::parse(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn the_events_of_a_cause_tree_share_a_trace() {
        let event = |id: &str, source: &str| Event { id: id.into(), source: source.into(), ..Event::default() };
        let first = event("1", "/a");
        let caused = Event { extensions: first.inherited(), ..event("2", "/plugins/p") };
        assert_eq!(TraceId::of_cause_tree(&first), TraceId::of_cause_tree(&caused));
        assert_ne!(TraceId::of_cause_tree(&first), TraceId::of_cause_tree(&event("1", "/b")));
        // A derived id does not change between versions, so that two hosts agree.
        assert_eq!(SpanId::derived("attempt", &[b"a", b"b"]).to_string(), "875d0875b798ee2c");
        assert_ne!(SpanId::derived("attempt", &[b"ab", b""]), SpanId::derived("attempt", &[b"a", b"b"]));
    }
}
