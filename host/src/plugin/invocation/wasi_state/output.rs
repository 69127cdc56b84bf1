//! The output of a guest: each line becomes a log line, and the end of its standard error explains a failure.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::plugin::bindings::wasi::logging::logging::Level;
use crate::plugin::invocation::log::InvocationLog;

/// Longer lines are split.
const LINE_BYTES: usize = 4 << 10;
/// How much of the standard error is kept, which is enough for the end of a stack trace.
const TAIL_BYTES: usize = 2_000;

/// The output of an instance.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Where lines go; nowhere during `describe`.
    log: Option<Arc<InvocationLog>>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    tail: VecDeque<u8>,
}

#[derive(Clone, Copy)]
enum Channel {
    Stdout,
    Stderr,
}

impl Output {
    /// Starts a call.
    pub(crate) fn begin(&self, log: Option<Arc<InvocationLog>>) {
        *self.state() = State { log, ..State::default() };
    }

    /// Ends a call, and logs incomplete lines.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.pass_on(Channel::Stdout);
        state.pass_on(Channel::Stderr);
    }

    /// The end of the standard error.
    pub(crate) fn tail(&self) -> String {
        // Drop the rest of a character whose beginning was cut off.
        let tail: Vec<u8> = self.state().tail.iter().copied().skip_while(|byte| is_continuation(*byte)).collect();
        String::from_utf8_lossy(&tail).trim().to_owned()
    }

    pub(super) fn stdout(&self) -> impl StdoutStream + use<> {
        Stream { output: self.clone(), channel: Channel::Stdout }
    }

    pub(super) fn stderr(&self) -> impl StdoutStream + use<> {
        Stream { output: self.clone(), channel: Channel::Stderr }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, channel: Channel, bytes: &[u8]) {
        if let Channel::Stderr = channel {
            self.tail.extend(bytes);
            self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE_BYTES) {
                self.line(channel).extend_from_slice(part);
                if part.ends_with(b"\n") {
                    self.pass_on(channel);
                } else if self.line(channel).len() >= LINE_BYTES {
                    let line = self.line(channel);
                    let rest = line.split_off(whole_characters(line));
                    self.pass_on(channel);
                    *self.line(channel) = rest;
                }
            }
        }
    }

    fn line(&mut self, channel: Channel) -> &mut Vec<u8> {
        match channel {
            Channel::Stdout => &mut self.stdout,
            Channel::Stderr => &mut self.stderr,
        }
    }

    fn pass_on(&mut self, channel: Channel) {
        let line = std::mem::take(self.line(channel));
        let (level, context) = match channel {
            Channel::Stdout => (Level::Info, "stdout"),
            Channel::Stderr => (Level::Warn, "stderr"),
        };
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if let Some(log) = self.log.as_ref().filter(|_| !text.is_empty()) {
            log.add(level, context, text);
        }
    }
}

/// The length of the bytes without an incomplete UTF-8 character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let Some(back) = bytes.iter().rev().take(4).position(|byte| !is_continuation(*byte)) else { return bytes.len() };
    let start = bytes.len() - 1 - back;
    let length = match bytes[start] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if back + 1 < length { start } else { bytes.len() }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// One of the two output streams of a guest. Writing never blocks.
#[derive(Clone)]
struct Stream {
    output: Output,
    channel: Channel,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.output.state().write(self.channel, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.state().write(self.channel, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_standard_error_is_kept() {
        let output = Output::default();
        output.state().write(Channel::Stdout, b"not this\n");
        output.state().write(Channel::Stderr, &[b'x'; 5_000]);
        output.state().write(Channel::Stderr, b"\nValueError: seven\n");
        let tail = output.tail();
        assert!(tail.ends_with("x\nValueError: seven"), "{tail}");
        assert_eq!(tail.len() + 1, TAIL_BYTES);
        output.begin(None);
        assert_eq!(output.tail(), "", "the next call starts with an empty tail");
    }

    #[test]
    fn text_is_cut_between_characters() {
        for (text, whole) in [("", 0), ("ab", 2), ("a\u{e9}", 3), ("\u{20ac}", 3), ("\u{1f600}", 4)] {
            assert_eq!(whole_characters(text.as_bytes()), whole, "{text}");
            for cut in 1..text.chars().last().map_or(1, char::len_utf8) {
                let bytes = &text.as_bytes()[..text.len() - cut];
                let expected = text.len() - text.chars().last().unwrap().len_utf8();
                assert_eq!(whole_characters(bytes), expected, "{bytes:?}");
            }
        }
        // Bytes that are not UTF-8 are not held back.
        assert_eq!(whole_characters(&[0x80; 9]), 9);
        assert_eq!(whole_characters(b"a\xff"), 2);
        let output = Output::default();
        output.state().write(Channel::Stderr, "\u{20ac}".repeat(3_000).as_bytes());
        assert!(output.tail().chars().all(|character| character == '\u{20ac}'), "{}", output.tail());
        assert!(output.state().stderr.iter().all(|byte| "\u{20ac}".as_bytes().contains(byte)));
    }

    #[test]
    fn a_line_without_an_end_is_not_buffered() {
        let output = Output::default();
        for _ in 0..100 {
            output.state().write(Channel::Stdout, &[b'x'; 1_000]);
            assert!(output.state().stdout.len() < LINE_BYTES + 1_000);
        }
    }
}
