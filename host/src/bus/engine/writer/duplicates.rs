//! Published events that are not stored, because one with their source and id is there already.

use super::Writer;
use crate::bus::{StoreError, counters};
use crate::event::Event;

/// Whether an event was stored.
pub(super) enum Stored {
    New,
    /// An event with its source and id is in the log, or is due later.
    Duplicate(Box<Event>),
}

impl Stored {
    pub(super) fn is_new(&self) -> bool {
        matches!(self, Self::New)
    }
}

impl Writer {
    /// Reports a duplicate whose content differs from the stored event's. Its publisher probably uses an id for two
    /// events, and the second one is lost. The first report is a warning.
    pub(super) fn report_duplicate(&mut self, duplicate: &Event) -> Result<(), StoreError> {
        let stored = self.rows.find_event(&duplicate.source, &duplicate.id)?;
        if !stored.is_some_and(|stored| has_other_content(&stored, duplicate)) {
            return Ok(());
        }
        counters::count_differing_duplicate();
        let Event { source, id, event_type, .. } = duplicate;
        if std::mem::replace(&mut self.has_reported_duplicate, true) {
            tracing::debug!(source, id, event_type, "dropped a duplicate whose content differs from the stored event");
        } else {
            tracing::warn!(
                source,
                id,
                event_type,
                "dropped a duplicate whose content differs from the stored event; give each event an id of its own, unique within its source (further ones are logged at level debug)"
            );
        }
        Ok(())
    }
}

/// Whether two events with one source and id say different things. A publisher that repeats a request may set another
/// time and another trace.
fn has_other_content(stored: &Event, duplicate: &Event) -> bool {
    stored.event_type != duplicate.event_type
        || stored.subject != duplicate.subject
        || stored.datacontenttype != duplicate.datacontenttype
        || stored.dataschema != duplicate.dataschema
        || stored.data != duplicate.data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::conformance::event;
    use crate::event::Data;

    /// CloudEvents 1.0.2, section "id": events with the same source and id may be taken for duplicates.
    #[test]
    fn a_repeated_request_does_not_differ_by_its_time_and_trace() {
        let stored = Event { data: Some(Data::json(*b"1")), ..event("1") };
        let text = |text: &str| Some(text.to_owned());
        for (duplicate, expected) in [
            (stored.clone(), false),
            (Event { time: text("2026-01-01T00:00:00Z"), ..stored.clone() }, false),
            (Event { extensions: [("traceparent".to_owned(), "00-1".to_owned())].into(), ..stored.clone() }, false),
            (Event { data: Some(Data::json(*b"2")), ..stored.clone() }, true),
            (Event { data: None, ..stored.clone() }, true),
            (Event { event_type: "a.c".to_owned(), ..stored.clone() }, true),
            (Event { subject: text("x"), ..stored.clone() }, true),
            (Event { datacontenttype: text("text/plain"), ..stored.clone() }, true),
            (Event { dataschema: text("http://a/"), ..stored.clone() }, true),
        ] {
            assert_eq!(has_other_content(&stored, &duplicate), expected, "{duplicate:?}");
        }
    }
}
