//! What a plugin declares, what its operator grants, and the resulting settings.

pub(super) mod descriptor;
pub(super) mod digest;
pub(super) mod limits;
pub(super) mod mismatch;
pub(super) mod settings;
pub(super) mod sidecar;
pub(super) mod subscription_rules;
pub(super) mod swap_rules;
