//! The resources that an invocation used, and the requests that it sent. They are observations: nothing depends on them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exchange::RecordedExchange;

/// The largest number of requests of one invocation that are recorded. Further ones are counted only.
pub const MAX_RECORDED_CALLS: usize = 64;

/// What one invocation used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How long the invocation waited for permits and a thread.
    pub queued: Duration,
    /// The processor time of its thread.
    pub cpu_time: Duration,
    /// The peak of its linear memory and of the data that the host holds for it, in bytes.
    pub memory_bytes: u64,
    /// The requests that it sent.
    pub calls: OutboundCalls,
}

/// The requests that an invocation sent, in the order in which they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboundCalls {
    /// The first [`MAX_RECORDED_CALLS`] of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<OutboundCall>,
    /// How many more there were.
    pub omitted: u64,
}

/// A request that an invocation sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundCall {
    /// The method.
    pub method: String,
    /// The host, without a path or a query, which may contain secrets.
    pub host: String,
    /// The status of the response, or why there is none.
    pub result: Result<u16, String>,
    /// The time until the head of the response, or until the failure.
    pub took: Duration,
    /// The URL and the response, if the host keeps them. The ledger stores them apart.
    #[serde(skip)]
    pub exchange: Option<Arc<RecordedExchange>>,
}

impl Usage {
    /// This usage without what other services answered.
    #[must_use]
    pub fn without_exchanges(&self) -> Self {
        let Self { queued, cpu_time, memory_bytes, calls } = self;
        Self { queued: *queued, cpu_time: *cpu_time, memory_bytes: *memory_bytes, calls: calls.without_exchanges() }
    }
}

impl OutboundCalls {
    /// Adds a request.
    pub fn add(&mut self, call: OutboundCall) {
        if self.recorded.len() < MAX_RECORDED_CALLS {
            self.recorded.push(call);
        } else {
            self.omitted += 1;
        }
    }

    /// These requests without their responses.
    #[must_use]
    pub fn without_exchanges(&self) -> Self {
        let call = |call: &OutboundCall| OutboundCall { exchange: None, ..call.clone() };
        Self { recorded: self.recorded.iter().map(call).collect(), omitted: self.omitted }
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recorded.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_calls_is_recorded_and_the_others_are_counted() {
        let mut calls = OutboundCalls::default();
        for status in 0..100 {
            let (method, host) = ("GET".to_owned(), "example.com".to_owned());
            calls.add(OutboundCall { method, host, result: Ok(status), took: Duration::ZERO, exchange: None });
        }
        assert_eq!((calls.recorded.len(), calls.omitted), (64, 36));
        assert_eq!(calls.recorded[63].result, Ok(63));
    }
}
