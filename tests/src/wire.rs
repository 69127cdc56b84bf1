//! Requests as raw bytes, for cases that an HTTP client would not send.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::Answer;

/// A connection on which the test controls every byte.
#[derive(Debug)]
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects.
    #[must_use]
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the host listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("the timeout is not zero");
        stream.set_write_timeout(Some(Duration::from_secs(60))).expect("the timeout is not zero");
        Self(BufReader::new(stream))
    }

    /// Connects and sends.
    #[must_use]
    pub fn with(address: &str, bytes: impl AsRef<[u8]>) -> Self {
        let mut wire = Self::open(address);
        wire.send(bytes);
        wire
    }

    /// Sends bytes. The host may close the connection before all are written.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.0.get_mut().write_all(bytes.as_ref()));
    }

    /// Closes the sending half.
    pub fn half_close(&self) {
        drop(self.0.get_ref().shutdown(Shutdown::Write));
    }

    /// The next response, or None if the connection has ended.
    ///
    /// # Panics
    /// If the bytes are not a response.
    pub fn answer(&mut self) -> Option<Answer> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        if !read.is_ok_and(|read| read > 0) {
            return None;
        }
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{line:?} is not a status line"));
        let mut answer = Answer { status, headers: std::collections::BTreeMap::new(), body: String::new() };
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("the head continues");
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            answer.headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = answer.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the body is complete");
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Some(answer)
    }

    /// The response to a request.
    ///
    /// # Panics
    /// If there is none.
    pub fn answer_to(&mut self, request: &str) -> Answer {
        self.send(request);
        self.answer().unwrap_or_else(|| panic!("there is no answer to {request:?}"))
    }

    /// The remaining bytes until the connection ends.
    #[must_use]
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset ends the connection too.
        drop(self.0.read_to_end(&mut rest));
        String::from_utf8_lossy(&rest).into_owned()
    }
}
