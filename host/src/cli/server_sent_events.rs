//! Parses a stream of server-sent events (WHATWG HTML, section 9.2.6).

/// An event of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SentEvent {
    /// The last id of the stream so far.
    pub(super) id: Option<String>,
    /// The lines of data.
    pub(super) data: String,
}

/// The largest line. A longer one is cut off.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Parses the parts of a stream as they arrive.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    after_return: bool,
    id: Option<String>,
    data: Option<String>,
}

impl Parser {
    /// Adds a part of the stream. Returns the events that are complete.
    pub(super) fn add(&mut self, part: &[u8]) -> Vec<SentEvent> {
        let mut events = Vec::new();
        for byte in part {
            let is_second = std::mem::replace(&mut self.after_return, *byte == b'\r') && *byte == b'\n';
            match byte {
                b'\n' if is_second => {}
                b'\r' | b'\n' => events.extend(self.end_line()),
                _ if self.line.len() < MAX_LINE_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
        events
    }

    /// The event that the line completes.
    fn end_line(&mut self) -> Option<SentEvent> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = self.data.take()?;
            return Some(SentEvent { id: self.id.clone(), data });
        }
        let line = String::from_utf8_lossy(&line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                none => *none = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments, and fields that are not used here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_however_they_are_cut() {
        let stream =
            ": comment\r\nid: 1\r\nevent: x\r\ndata: a\r\ndata:b\r\n\r\nretry: 5\n\ndata\n\nid\rdata: \u{e4}\r\r";
        let event = |id: &str, data: &str| SentEvent { id: Some(id.to_owned()), data: data.to_owned() };
        let expected = [event("1", "a\nb"), event("1", ""), event("", "\u{e4}")];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let events: Vec<_> = stream.as_bytes().chunks(size).flat_map(|part| parser.add(part)).collect();
            assert_eq!(events, expected, "parts of {size} bytes");
        }
    }
}
