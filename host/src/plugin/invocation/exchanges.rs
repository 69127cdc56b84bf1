//! Records what other services answer to the requests of an invocation, if the host keeps it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::http::{HeaderMap, Uri};

use crate::exchange::{BodyEnd, ExchangeMemory, RecordedExchange};
use crate::secrecy::{Values, placeholder};

/// The largest size of a recorded exchange: its URL, headers and body.
const EXCHANGE_BYTES: usize = 64 << 10;
/// The largest size of all recorded exchanges of an invocation.
const INVOCATION_BYTES: usize = 256 << 10;
/// Parts of the names of configuration values that are secrets.
const SECRET_NAMES: [&str; 7] = ["secret", "token", "password", "passphrase", "credential", "key", "auth"];
/// A shorter value could be part of any text.
const SECRET_BYTES: usize = 6;

/// Records the exchanges of an invocation.
pub(crate) struct ExchangeRecorder {
    /// None if they are not recorded.
    memory: Option<ExchangeMemory>,
    /// The bytes that this invocation may still record.
    left: Arc<AtomicUsize>,
}

impl ExchangeRecorder {
    pub(crate) fn new(memory: Option<ExchangeMemory>) -> Self {
        Self { memory, left: Arc::new(AtomicUsize::new(INVOCATION_BYTES)) }
    }

    /// Starts to record an exchange. None if exchanges are not recorded, or too much is recorded already.
    pub(crate) fn begin(&self, url: &Uri) -> Option<OpenExchange> {
        let exchange = RecordedExchange { memory: self.memory.as_ref()?.reservation(), ..RecordedExchange::default() };
        let mut recording = Recording { exchange, left: EXCHANGE_BYTES, left_in_invocation: Arc::clone(&self.left) };
        let url = url.to_string();
        if !recording.reserve(url.len()) {
            return None;
        }
        recording.exchange.url = url;
        Some(OpenExchange(Arc::new(Mutex::new(Some(recording)))))
    }
}

/// An exchange that is being recorded. What comes after [`Self::close`] is ignored.
#[derive(Clone)]
pub(crate) struct OpenExchange(Arc<Mutex<Option<Recording>>>);

struct Recording {
    exchange: RecordedExchange,
    left: usize,
    left_in_invocation: Arc<AtomicUsize>,
}

impl Recording {
    /// Whether the limits allow so many more bytes.
    fn reserve(&mut self, bytes: usize) -> bool {
        let taken = |left: usize| left.checked_sub(bytes);
        let fits = self.left >= bytes
            && self.left_in_invocation.load(Ordering::Relaxed) >= bytes
            && self.exchange.memory.extend(bytes)
            && self.left_in_invocation.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok();
        if fits {
            self.left -= bytes;
        }
        fits
    }
}

impl OpenExchange {
    /// Records the headers of the response.
    pub(crate) fn headers(&self, headers: &HeaderMap) {
        let Some(recording) = &mut *self.lock() else { return };
        for (name, value) in headers {
            if !recording.reserve(name.as_str().len() + value.len()) {
                recording.exchange.body_end = BodyEnd::Truncated;
                return;
            }
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            recording.exchange.headers.push((name.to_string(), value));
        }
    }

    /// Records a part of the body.
    pub(crate) fn append(&self, part: &[u8]) {
        let Some(recording) = &mut *self.lock() else { return };
        if recording.exchange.body_end != BodyEnd::Unread {
            return;
        }
        let most = recording.left.min(recording.left_in_invocation.load(Ordering::Relaxed));
        let kept = &part[..part.len().min(most)];
        let is_reserved = recording.reserve(kept.len());
        if is_reserved {
            recording.exchange.body.extend_from_slice(kept);
        }
        if !is_reserved || kept.len() < part.len() {
            recording.exchange.body_end = BodyEnd::Truncated;
        }
    }

    /// The body has ended.
    pub(crate) fn complete(&self) {
        let Some(recording) = &mut *self.lock() else { return };
        if recording.exchange.body_end == BodyEnd::Unread {
            recording.exchange.body_end = BodyEnd::Complete;
        }
    }

    /// The body has not been received to its end.
    pub(crate) fn fail(&self) {
        if let Some(recording) = &mut *self.lock() {
            recording.exchange.body_end = BodyEnd::Failed;
        }
    }

    /// Ends the recording, and hides the secrets of a configuration in it.
    pub(crate) fn close(&self, config: &Values) -> Option<Arc<RecordedExchange>> {
        let mut exchange = self.lock().take()?.exchange;
        hide(&mut exchange, config);
        Some(Arc::new(exchange))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recording>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces values of the configuration that are secrets, or whose names are those of secrets. A scenario with the placeholders as its
/// configuration sends the same requests.
fn hide(exchange: &mut RecordedExchange, config: &Values) {
    let mut placeholders = BTreeMap::new();
    for (name, value) in secrets(config) {
        let placeholder = placeholder(name);
        let mut is_found = false;
        let texts = std::iter::once(&mut exchange.url).chain(exchange.headers.iter_mut().map(|(_, text)| text));
        for text in texts {
            if let Some(replaced) = replaced(text.as_bytes(), value.as_bytes(), &placeholder) {
                (*text, is_found) = (String::from_utf8_lossy(&replaced).into_owned(), true);
            }
        }
        // A body may be text in any encoding, or be cut within a letter.
        if let Some(replaced) = replaced(&exchange.body, value.as_bytes(), &placeholder) {
            (exchange.body, is_found) = (replaced, true);
        }
        if is_found {
            placeholders.insert(name.clone(), placeholder);
        }
    }
    exchange.placeholders = placeholders;
}

/// The text with a placeholder in place of a value, even if characters of the value are percent-encoded. None if it
/// does not contain the value.
fn replaced(text: &[u8], value: &[u8], placeholder: &str) -> Option<Vec<u8>> {
    let (mut result, mut at, mut is_found) = (Vec::with_capacity(text.len()), 0, false);
    while at < text.len() {
        if let Some(length) = encoded_length(&text[at..], value) {
            result.extend_from_slice(placeholder.as_bytes());
            (at, is_found) = (at + length, true);
        } else {
            result.push(text[at]);
            at += 1;
        }
    }
    is_found.then_some(result)
}

/// The length of the beginning of a text that stands for a value. Clients encode different characters in URLs and forms.
fn encoded_length(text: &[u8], value: &[u8]) -> Option<usize> {
    let mut at = 0;
    for byte in value {
        let hex = text.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        at += match *text.get(at)? {
            b'%' if escaped == Some(*byte) => 3,
            b'+' if *byte == b' ' => 1,
            found if found == *byte => 1,
            _ => return None,
        };
    }
    Some(at)
}

/// The secrets of a configuration, the longest first: one may contain another.
fn secrets(config: &Values) -> Vec<(&String, &str)> {
    let is_secret = |name: &str| {
        let lower = name.to_ascii_lowercase();
        config.is_secret(name) || SECRET_NAMES.iter().any(|part| lower.contains(part))
    };
    let named = config.iter().filter(|(name, value)| value.len() >= SECRET_BYTES && is_secret(name));
    let mut secrets: Vec<_> = named.map(|(name, value)| (name, value.as_str())).collect();
    secrets.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(recorder: &ExchangeRecorder, url: &str) -> Option<OpenExchange> {
        recorder.begin(&url.parse().unwrap())
    }

    fn recorded(open: &OpenExchange) -> Arc<RecordedExchange> {
        open.close(&Values::default()).unwrap()
    }

    #[test]
    fn a_secret_is_replaced_however_it_is_encoded() {
        let replaced = |text: &[u8]| replaced(text, b"pa!ss /w", "X");
        for text in ["pa!ss /w", "pa%21ss%20%2Fw", "pa!ss+%2fw", "%70a!ss%20/w"] {
            assert_eq!(replaced(format!("?a={text}&b").as_bytes()).unwrap(), b"?a=X&b", "{text}");
        }
        assert_eq!(replaced(b"caf\xc3 pa!ss /w \xff").unwrap(), b"caf\xc3 X \xff", "no valid UTF-8");
        for text in ["", "pa!ss", "pa!ss_/w", "pa%2", "PA!SS /W"] {
            assert_eq!(replaced(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn exchanges_are_recorded_only_if_the_host_keeps_them() {
        assert!(begin(&ExchangeRecorder::new(None), "http://a/").is_none());
    }

    #[test]
    fn a_body_is_recorded_as_far_as_it_is_read_and_up_to_a_limit() {
        let recorder = ExchangeRecorder::new(Some(ExchangeMemory::new(usize::MAX)));
        let url = "http://a/";
        let open = begin(&recorder, url).unwrap();
        open.append(b"one ");
        open.append(b"two");
        open.complete();
        let exchange = recorded(&open);
        assert_eq!((&exchange.body[..], exchange.body_end), (&b"one two"[..], BodyEnd::Complete));
        // A body may outlive the invocation.
        open.append(b" three");
        assert!(open.close(&Values::default()).is_none());

        let unread = begin(&recorder, url).unwrap();
        unread.append(b"one");
        assert_eq!(recorded(&unread).body_end, BodyEnd::Unread);
        let broken = begin(&recorder, "http://a/").unwrap();
        broken.append(b"part");
        broken.fail();
        broken.complete();
        assert_eq!(recorded(&broken).body_end, BodyEnd::Failed);

        let long = begin(&recorder, url).unwrap();
        (0..10).for_each(|_| long.append(&[b'x'; 10_000]));
        long.complete();
        let exchange = recorded(&long);
        assert_eq!((exchange.body.len(), exchange.body_end), (EXCHANGE_BYTES - url.len(), BodyEnd::Truncated));

        let headed = begin(&recorder, url).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("a", "b".parse().unwrap());
        headers.insert("long", "x".repeat(EXCHANGE_BYTES).parse().unwrap());
        headed.headers(&headers);
        let exchange = recorded(&headed);
        assert_eq!((exchange.headers.len(), exchange.body_end), (1, BodyEnd::Truncated));
    }

    #[test]
    fn the_exchanges_of_an_invocation_and_of_the_host_are_limited() {
        let memory = ExchangeMemory::new(INVOCATION_BYTES + EXCHANGE_BYTES);
        let fill = |recorder: &ExchangeRecorder| {
            let open: Vec<_> = (0..6).map_while(|_| begin(recorder, "http://a/")).collect();
            open.iter().for_each(|open| open.append(&[b'x'; EXCHANGE_BYTES]));
            let recorded: Vec<_> = open.iter().map(recorded).collect();
            let bytes: usize = recorded.iter().map(|exchange| exchange.url.len() + exchange.body.len()).sum();
            (bytes, recorded)
        };
        let (one, other) = (ExchangeRecorder::new(Some(memory.clone())), ExchangeRecorder::new(Some(memory)));
        let (bytes, held) = fill(&one);
        assert_eq!((bytes, begin(&one, "http://a/").is_none()), (INVOCATION_BYTES, true));
        let (bytes, _) = fill(&other);
        assert!(bytes <= EXCHANGE_BYTES, "{bytes}");
        drop(held);
        let (bytes, _) = fill(&ExchangeRecorder::new(other.memory));
        assert_eq!(bytes, INVOCATION_BYTES);
    }

    #[test]
    fn secrets_of_the_configuration_are_replaced() {
        let config = [
            ("api.key", "s3cret/key"),
            ("mail_token", "s3cret/key-2"),
            ("short_token", "on"),
            ("base_url", "http://example.com"),
        ];
        let config = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Values::from(config.collect::<BTreeMap<_, _>>());
        let recorder = ExchangeRecorder::new(Some(ExchangeMemory::new(usize::MAX)));
        let open = begin(&recorder, "http://example.com/on?key=s3cret%2Fkey&again=s3cret/key-2").unwrap();
        open.append(br#"{"token":"s3cret/key-2"}"#);
        let exchange = open.close(&config).unwrap();
        assert_eq!(exchange.url, "http://example.com/on?key=hidden-api-key&again=hidden-mail-token");
        assert_eq!(exchange.body, br#"{"token":"hidden-mail-token"}"#);
        let placeholders: Vec<_> = exchange.placeholders.iter().collect();
        assert_eq!(placeholders.len(), 2, "{placeholders:?}");
        assert_eq!(exchange.placeholders["api.key"], "hidden-api-key");
    }
}
