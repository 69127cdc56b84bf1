//! What an engine counts, whatever it is.

/// Counts an event that was not stored since another one has its source and id.
pub(crate) fn collided() {
    metrics::counter!("sandbus_event_collisions_total").increment(1);
}
