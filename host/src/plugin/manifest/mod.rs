//! The declarations of a plugin, the grants of its operator, and the resulting settings.

pub(super) mod capabilities;
pub(super) mod config_value;
pub(super) mod cors;
pub(super) mod descriptor;
pub(super) mod digest;
pub(super) mod labelled_imports;
pub(super) mod limits;
pub(super) mod settings;
pub(super) mod sidecar;
pub(super) mod sidecar_error;
pub(super) mod subscription_rules;
pub(super) mod swap_rules;
