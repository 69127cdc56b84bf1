//! The vocabulary: the types that the modules of the host exchange. It depends on none of them.
//!
//! The crate's root re-exports these modules, so `crate::event` is the path of events everywhere.

pub mod clock;
pub mod duration;
pub mod endpoint;
pub mod event;
pub mod exact;
pub mod failure;
pub mod filter;
pub mod networks;
pub mod ordering;
pub mod outcome;
pub mod pattern;
pub mod percent;
pub mod recorded_response;
pub mod reply;
pub mod request_id;
pub mod retry;
pub mod schedule;
pub mod span_context;
pub mod subscription;
pub mod usage;
