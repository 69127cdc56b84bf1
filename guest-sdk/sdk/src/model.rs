//! The values that handlers exchange with the host, and the errors of the host's calls. The public modules re-export
//! them, and add the calls.

pub(crate) mod errors;
#[cfg(feature = "client")]
pub(crate) mod request;
pub(crate) mod subscription;
