//! Exemplars: the last sampled span of each histogram series.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::{Clock, UnixNanos};
use crate::span_context::SpanContext;

/// A value that was measured in a sampled span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) context: SpanContext,
    pub(super) value: f64,
    pub(super) at: UnixNanos,
}

/// The histogram and the value of its label, which the label's limit bounds.
type Series = (&'static str, String);

static LATEST: Mutex<BTreeMap<Series, Exemplar>> = Mutex::new(BTreeMap::new());

/// Notes a value that was measured in a sampled span.
pub(super) fn note(histogram: &'static str, label: &str, value: f64, context: SpanContext) {
    let exemplar = Exemplar { context, value, at: Clock::System.unix_nanos() };
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    latest.insert((histogram, label.to_owned()), exemplar);
}

/// The exemplar of a series, if it has one.
pub(super) fn of(histogram: &'static str, label: &str) -> Option<Exemplar> {
    let latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    latest.get(&(histogram, label.to_owned())).copied()
}
