//! Metrics that every engine counts.

/// Counts a published event that was dropped as a duplicate, though the stored event has other content.
pub(crate) fn count_differing_duplicate() {
    metrics::counter!("sandbus_differing_duplicates_total").increment(1);
}

/// Counts an event of the host or of a plugin that was not stored, because another event has its source and id.
pub(crate) fn count_collision() {
    metrics::counter!("sandbus_event_collisions_total").increment(1);
}
