//! Holds of endpoints.

use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};
use crate::bus::{EndpointHold, StoreError};

/// Endpoints, and their holds after the commit.
#[derive(Default)]
pub(super) struct Changes(Vec<(String, Option<EndpointHold>)>);

impl Writer {
    /// Holds an endpoint for a while.
    pub(super) fn hold_endpoint(
        &self,
        endpoint: String,
        hold: EndpointHold,
        batch: &mut Batch,
    ) -> Result<(), ApplyError> {
        self.rows.put_hold(&endpoint, &hold, batch.now)?;
        batch.changes.endpoints.0.push((endpoint, Some(hold)));
        Ok(())
    }

    /// Ends the hold of an endpoint.
    pub(super) fn release(&self, endpoint: &str, batch: &mut Batch) -> Result<(), StoreError> {
        self.rows.delete_hold(endpoint)?;
        batch.changes.endpoints.0.push((endpoint.to_owned(), None));
        Ok(())
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        for (endpoint, hold) in self.0 {
            for subscription in writer.feeds.values() {
                if subscription.window().definition.sends_to(&endpoint) {
                    context.wake(subscription);
                }
            }
            writer.shared.holds.set(endpoint, hold, context.now);
        }
    }
}
