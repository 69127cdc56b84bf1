//! Why a delivery failed.

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub cause: Cause,
    /// What happened, for people.
    pub reason: String,
}

/// The kinds of failures, by which dead letters are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The handler asked for a retry.
    Retry,
    /// The handler threw an unexpected exception, such as a bug in a script.
    Exception,
    /// A request of the handler to another service failed or returned an unexpected response.
    Request,
    /// The handler rejected the event, or asked for a change that can never be committed.
    Rejected,
    /// The handler trapped.
    Trap,
    /// The handler ran out of time.
    Timeout,
    /// The handler ran out of memory.
    OutOfMemory,
    /// Concurrent changes to the state that the handler had read kept causing conflicts.
    Conflict,
    /// A webhook returned an error or could not be reached.
    Webhook,
    /// The plugin has no handler for the event.
    NoHandler,
    /// The cause tree is deeper than the host's limit: plugins that trigger each other endlessly.
    HopLimit,
    /// A limit of the plugin is reached, such as its backlog.
    Limit,
    /// A published event has the source and id of another event.
    Collision,
}

impl Cause {
    /// The name that logs, dead letters and the admin interface use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Exception => "exception",
            Self::Request => "request",
            Self::Rejected => "rejected",
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out-of-memory",
            Self::Conflict => "conflict",
            Self::Webhook => "webhook",
            Self::NoHandler => "no-handler",
            Self::HopLimit => "hop-limit",
            Self::Limit => "limit",
            Self::Collision => "collision",
        }
    }

    /// All causes.
    pub const ALL: [Self; 13] = [
        Self::Retry,
        Self::Exception,
        Self::Request,
        Self::Rejected,
        Self::Trap,
        Self::Timeout,
        Self::OutOfMemory,
        Self::Conflict,
        Self::Webhook,
        Self::NoHandler,
        Self::HopLimit,
        Self::Limit,
        Self::Collision,
    ];

    /// Parses a cause by its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }

    /// The causes that a retry policy may name as not retryable.
    const RETRIABLE: [Self; 7] =
        [Self::Retry, Self::Exception, Self::Request, Self::Trap, Self::Timeout, Self::OutOfMemory, Self::Webhook];

    /// Parses a cause that a retry policy may name as not retryable.
    #[must_use]
    pub fn parse_retriable(text: &str) -> Option<Self> {
        Self::RETRIABLE.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// A cause that a retry policy may name as not retryable, in a JSON Schema.
#[derive(schemars::JsonSchema)]
#[schemars(inline, description = "A cause of failures.", extend("enum" = Cause::RETRIABLE.map(Cause::as_str)))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct RetriableCause(String);

/// The longest signature, in characters.
const SIGNATURE_CHARACTERS: usize = 200;

/// The signature of a reason, by which failures are grouped: the first line, with `#` in place of each number and each
/// hexadecimal id. If a colon ends the line, as after the place of a panic, the next line is added. The line and the
/// column after the name of a source file stay, because they say where a handler trapped.
#[must_use]
pub fn signature(reason: &str) -> String {
    let mut lines = reason.lines();
    let first = lines.next().unwrap_or_default();
    let line = match lines.next().filter(|_| first.ends_with(':')) {
        Some(second) => format!("{first} {second}"),
        None => first.to_owned(),
    };
    let mut signature = String::new();
    let mut rest = line.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = |other: char| other.is_ascii_alphanumeric() || other == '-';
        let end = rest.find(|other| is_word(other) != is_word(first)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if !is_word(first) || is_line_number(&line[..line.len() - rest.len()], part) {
            signature.push_str(part);
        } else {
            push_word(&mut signature, part);
        }
        rest = after;
    }
    signature.chars().take(SIGNATURE_CHARACTERS).collect()
}

/// Whether a part is the line or the column after the name of a source file, as in `src/lib.rs:8:5`.
fn is_line_number(before: &str, part: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let Some(before) = before.strip_suffix(':').filter(|_| is_number(part)) else { return false };
    let place = before.rsplit([' ', '/', '(']).next().unwrap_or_default();
    let file = place.rsplit_once(':').filter(|(_, line)| is_number(line)).map_or(place, |(file, _)| file);
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.starts_with(|first: char| first.is_ascii_alphabetic()) && !extension.contains(':')
}

/// Adds a word: `#` for an id, or else the word with `#` in place of numbers.
fn push_word(signature: &mut String, word: &str) {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    if has_digit && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        signature.push('#');
        return;
    }
    let mut is_number = false;
    for character in word.chars() {
        match character.is_ascii_digit() {
            true if is_number => {}
            true => signature.push('#'),
            false => signature.push(character),
        }
        is_number = character.is_ascii_digit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_and_ids_have_one_signature() {
        for (reason, expected) in [
            ("", ""),
            ("no server", "no server"),
            ("no server\nat x", "no server"),
            ("attempt 3 is not good enough", "attempt # is not good enough"),
            ("no order 0190c2a4-7d1e-7b3c-9a55-0123456789ab here", "no order # here"),
            ("no order-17, or x99y1", "no order-#, or x#y#"),
            ("the webhook answered 503 Service Unavailable", "the webhook answered # Service Unavailable"),
            ("it ran out of time after 1m 30s", "it ran out of time after #m #s"),
            ("connect to 127.0.0.1:8080: refused", "connect to #.#.#.#:#: refused"),
            // "dead" and "bee" have no digit, so they are words.
            ("dead bee 12fe", "dead bee #"),
            (
                "boom (in swallow at poison/src/lib.rs:8 < run at poison/src/lib.rs:120)",
                "boom (in swallow at poison/src/lib.rs:8 < run at poison/src/lib.rs:120)",
            ),
            ("panicked at src/lib.rs:8:5:\nno order 7\nat x", "panicked at src/lib.rs:8:5: no order #"),
            ("failed:", "failed:"),
            ("größe 7", "größe #"),
        ] {
            assert_eq!(signature(reason), expected, "{reason}");
        }
        assert_eq!(signature(&"é ".repeat(500)).chars().count(), SIGNATURE_CHARACTERS);
    }
}
