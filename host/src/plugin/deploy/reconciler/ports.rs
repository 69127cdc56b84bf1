//! The traits through which the reconciler reaches the rest of the host. The composition root implements them, because
//! this module does not depend on the bus.

use std::sync::Arc;

use crate::plugin::manifest::swap_rules::CanaryRule;
use crate::plugin::run::generation::Generation;
use crate::subscription::Declaration;

/// Registers the subscriptions of a generation before it is swapped in.
pub trait SubscriptionRegistrar: Send + Sync + 'static {
    /// Registers the subscriptions and schedules that a plugin declares. Returns the names of the subscriptions that it
    /// no longer declares.
    fn declare(
        &self,
        plugin: String,
        declaration: Declaration,
    ) -> impl Future<Output = Result<Vec<String>, String>> + Send;

    /// Pauses the schedules of a plugin that no longer runs.
    fn withdraw(&self, plugin: String) -> impl Future<Output = Result<(), String>> + Send;
}

/// Runs the canary of a generation before it takes over.
pub trait CanaryRunner: Send + Sync + 'static {
    /// Compares how two generations handle recent events. The error tells the operator how they differ, if they differ
    /// more than the rule allows.
    fn run_canary(
        &self,
        running: Arc<Generation>,
        new: Arc<Generation>,
        rule: CanaryRule,
    ) -> impl Future<Output = Result<(), String>> + Send;
}
