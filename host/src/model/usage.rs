//! The resources that an invocation used, and the requests that it sent. They are observations: nothing depends on
//! them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::recorded_response::RecordedResponse;

/// The largest number of requests of one invocation that are recorded. Further ones are counted only.
pub const MAX_RECORDED_CALLS: usize = 64;
/// The largest number of log lines of one invocation that are recorded. Further ones are counted only.
pub const MAX_LOG_LINES: usize = 20;
/// The largest size of the recorded log lines of one invocation.
pub const MAX_LOG_BYTES: usize = 8 << 10;

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
    /// Its first log lines.
    pub log: RecordedLog,
}

/// The first log lines of an invocation, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedLog {
    /// The first [`MAX_LOG_LINES`] of them, with [`MAX_LOG_BYTES`] of text in total. The end of the last one may be cut
    /// off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LogLine>,
    /// How many more there were.
    pub omitted: u64,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its level.
    pub level: LogLevel,
    /// Its text, in which secrets are hidden. It may contain control characters.
    pub message: String,
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For tracing the code.
    Trace,
    /// For debugging.
    Debug,
    /// For information.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something failed.
    Error,
    /// Something failed, and needs attention at once.
    Critical,
}

impl LogLevel {
    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
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
    pub recorded_response: Option<Arc<RecordedResponse>>,
}

impl Usage {
    /// This usage without what other services answered.
    #[must_use]
    pub fn without_recorded_responses(&self) -> Self {
        let Self { queued, cpu_time, memory_bytes, calls, log } = self;
        Self {
            queued: *queued,
            cpu_time: *cpu_time,
            memory_bytes: *memory_bytes,
            calls: calls.without_recorded_responses(),
            log: log.clone(),
        }
    }
}

impl RecordedLog {
    /// Adds a line, if there is room.
    pub fn add(&mut self, level: LogLevel, message: &str) {
        let kept = &message[..message.floor_char_boundary(MAX_LOG_BYTES.saturating_sub(self.bytes()))];
        let has_room = self.omitted == 0 && self.lines.len() < MAX_LOG_LINES;
        if !has_room || kept.is_empty() && !message.is_empty() {
            self.omitted += 1;
            return;
        }
        let mut kept = kept.to_owned();
        if kept.len() < message.len() {
            kept.push('…');
        }
        self.lines.push(LogLine { level, message: kept });
    }

    /// Leaves out all lines, and counts them.
    pub fn omit(&mut self) {
        self.omitted += self.lines.len() as u64;
        self.lines = Vec::new();
    }

    /// The size of the lines.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.message.len()).sum()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.omitted == 0
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
    pub fn without_recorded_responses(&self) -> Self {
        let call = |call: &OutboundCall| OutboundCall { recorded_response: None, ..call.clone() };
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
    fn the_first_lines_are_recorded_and_the_others_are_counted() {
        let mut log = RecordedLog::default();
        assert!(log.is_empty());
        for number in 0..25 {
            log.add(LogLevel::Info, &number.to_string());
        }
        assert_eq!((log.lines.len(), log.omitted), (20, 5));
        assert_eq!(log.lines[19], LogLine { level: LogLevel::Info, message: "19".to_owned() });
    }

    #[test]
    fn long_lines_are_cut_and_later_ones_are_omitted() {
        let mut log = RecordedLog::default();
        log.add(LogLevel::Warn, &"a".repeat(MAX_LOG_BYTES - 3));
        // Each character has two bytes.
        log.add(LogLevel::Error, "éé");
        log.add(LogLevel::Error, "");
        log.add(LogLevel::Error, "b");
        log.add(LogLevel::Error, "");
        let messages: Vec<_> = log.lines.iter().skip(1).map(|line| line.message.as_str()).collect();
        assert_eq!((messages, log.omitted), (vec!["é…", ""], 2));
        assert_eq!(
            serde_json::to_value(&log.lines[2]).unwrap(),
            serde_json::json!({ "level": "error", "message": "" })
        );
    }

    #[test]
    fn a_bounded_number_of_calls_is_recorded_and_the_others_are_counted() {
        let mut calls = OutboundCalls::default();
        for status in 0..100 {
            let (method, host) = ("GET".to_owned(), "example.com".to_owned());
            calls.add(OutboundCall { method, host, result: Ok(status), took: Duration::ZERO, recorded_response: None });
        }
        assert_eq!((calls.recorded.len(), calls.omitted), (64, 36));
        assert_eq!(calls.recorded[63].result, Ok(63));
    }
}
