//! Endpoints that are held back, or no longer.

use super::super::rows;
use super::Writer;
use super::batch::{Batch, Refused};
use super::subjects::{After, AfterCommit};
use crate::bus::{HeldBack, StoreError};

/// Endpoints, and what holds them back now.
#[derive(Default)]
pub(super) struct Changes(Vec<(String, Option<HeldBack>)>);

impl Writer {
    /// Lets nothing be sent to an endpoint for a while.
    pub(super) fn hold_back(&self, endpoint: String, hold: HeldBack, batch: &mut Batch) -> Result<(), Refused> {
        rows::put_hold(&self.connection, &endpoint, &hold, batch.now)?;
        batch.changes.endpoints.0.push((endpoint, Some(hold)));
        Ok(())
    }

    /// Lets requests be sent to an endpoint again.
    pub(super) fn release(&self, endpoint: &str, batch: &mut Batch) -> Result<(), StoreError> {
        rows::delete_hold(&self.connection, endpoint)?;
        batch.changes.endpoints.0.push((endpoint.to_owned(), None));
        Ok(())
    }
}

impl AfterCommit for Changes {
    fn publish(self, writer: &mut Writer, after: &mut After) {
        for (endpoint, hold) in self.0 {
            for subscription in writer.subscriptions.values() {
                if subscription.progress().definition.sends_to(&endpoint) {
                    after.wake(subscription);
                }
            }
            writer.shared.holds.set(endpoint, hold, after.now);
        }
    }
}
