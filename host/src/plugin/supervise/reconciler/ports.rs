//! What the reconciler asks of the rest of the host. The composition root connects it: this room does not know the bus.

use std::sync::Arc;

use crate::plugin::manifest::swap_rules::CanaryRule;
use crate::plugin::run::generation::Generation;
use crate::subscription::Declaration;

/// Where a generation's subscriptions are made known before it is swapped in. The composition root
/// connects this to the bus, which this module does not know.
pub trait SubscriptionRegistrar: Send + Sync + 'static {
    /// Takes over the subscriptions and the schedules that a plugin declares, and returns the names of the
    /// subscriptions that it no longer does.
    fn declare(
        &self,
        plugin: String,
        declaration: Declaration,
    ) -> impl Future<Output = Result<Vec<String>, String>> + Send;

    /// Lets the schedules of a plugin rest that does not run any more.
    fn withdraw(&self, plugin: String) -> impl Future<Output = Result<(), String>> + Send;
}

/// What lets a generation handle the past before it takes over. The composition root connects this, too.
pub trait CanaryRunner: Send + Sync + 'static {
    /// Compares how two generations handle the last events, and says what an operator must know if they differ
    /// more than a rule allows.
    fn run_canary(
        &self,
        running: Arc<Generation>,
        new: Arc<Generation>,
        rule: CanaryRule,
    ) -> impl Future<Output = Result<(), String>> + Send;
}
