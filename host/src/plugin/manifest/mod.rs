//! What a plugin declares of itself, what its operator grants it, and the settings that follow from both.

pub(super) mod descriptor;
pub(super) mod digest;
pub(super) mod limits;
pub(super) mod mismatch;
pub(super) mod settings;
pub(super) mod sidecar;
pub(super) mod subscription_rules;
pub(super) mod swap_rules;
