//! The id of a request to a plugin's route: `x-request-id` in the response, and `request` in log lines and the ledger.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// The id of a request. The host assigns it: an id that the client sends could be anyone's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new id, a UUID of version 7 (RFC 9562), which sorts by time.
    #[must_use]
    pub fn unique() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for RequestId {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
