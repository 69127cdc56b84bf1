//! What an engine counts, whatever it is.

/// Counts a published event that was dropped as a duplicate, though the stored event has other content.
pub(crate) fn differing_duplicate() {
    metrics::counter!("sandbus_differing_duplicates_total").increment(1);
}

/// Counts an event that was not stored since another one has its source and id.
pub(crate) fn collided() {
    metrics::counter!("sandbus_event_collisions_total").increment(1);
}
