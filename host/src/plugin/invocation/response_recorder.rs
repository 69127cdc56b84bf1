//! Records the responses of other services to the requests of an invocation, if the host keeps them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::http::{HeaderMap, Uri};

use crate::recorded_response::{BodyEnd, RecordedResponse, ResponseMemory};
use crate::secrecy::{Values, placeholder};

/// The largest size of a recorded response: its URL, headers and body.
const RESPONSE_BYTES: usize = 64 << 10;
/// The largest size of all recorded responses of an invocation.
const INVOCATION_BYTES: usize = 256 << 10;
/// Parts of the names of configuration values that are secrets.
const SECRET_NAMES: [&str; 7] = ["secret", "token", "password", "passphrase", "credential", "key", "auth"];
/// The minimum length of a secret that is hidden. A shorter value could be part of any text.
const SECRET_BYTES: usize = 6;

/// Records the responses to the requests of an invocation.
pub(crate) struct ResponseRecorder {
    /// None if they are not recorded.
    memory: Option<ResponseMemory>,
    /// The bytes that this invocation may still record.
    left: Arc<AtomicUsize>,
}

impl ResponseRecorder {
    pub(crate) fn new(memory: Option<ResponseMemory>) -> Self {
        Self { memory, left: Arc::new(AtomicUsize::new(INVOCATION_BYTES)) }
    }

    /// Starts to record a response. None if responses are not recorded, or too much is recorded already.
    pub(crate) fn begin(&self, url: &Uri) -> Option<ResponseRecording> {
        let response = RecordedResponse { memory: self.memory.as_ref()?.reservation(), ..RecordedResponse::default() };
        let mut recording =
            RecordingState { response, left: RESPONSE_BYTES, left_in_invocation: Arc::clone(&self.left) };
        let url = url.to_string();
        if !recording.reserve(url.len()) {
            return None;
        }
        recording.response.url = url;
        Some(ResponseRecording(Arc::new(Mutex::new(Some(recording)))))
    }
}

/// A response that is being recorded. After [`Self::close`], further parts are ignored.
#[derive(Clone)]
pub(crate) struct ResponseRecording(Arc<Mutex<Option<RecordingState>>>);

struct RecordingState {
    response: RecordedResponse,
    left: usize,
    left_in_invocation: Arc<AtomicUsize>,
}

impl RecordingState {
    /// Whether the limits allow so many more bytes.
    fn reserve(&mut self, bytes: usize) -> bool {
        let taken = |left: usize| left.checked_sub(bytes);
        let fits = self.left >= bytes
            && self.left_in_invocation.load(Ordering::Relaxed) >= bytes
            && self.response.memory.extend(bytes)
            && self.left_in_invocation.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok();
        if fits {
            self.left -= bytes;
        }
        fits
    }
}

impl ResponseRecording {
    /// Records the headers of the response.
    pub(crate) fn headers(&self, headers: &HeaderMap) {
        let Some(recording) = &mut *self.lock() else { return };
        for (name, value) in headers {
            if !recording.reserve(name.as_str().len() + value.len()) {
                recording.response.body_end = BodyEnd::Truncated;
                return;
            }
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            recording.response.headers.push((name.to_string(), value));
        }
    }

    /// Records a part of the body.
    pub(crate) fn append(&self, part: &[u8]) {
        let Some(recording) = &mut *self.lock() else { return };
        if recording.response.body_end != BodyEnd::Unread {
            return;
        }
        let most = recording.left.min(recording.left_in_invocation.load(Ordering::Relaxed));
        let kept = &part[..part.len().min(most)];
        let is_reserved = recording.reserve(kept.len());
        if is_reserved {
            recording.response.body.extend_from_slice(kept);
        }
        if !is_reserved || kept.len() < part.len() {
            recording.response.body_end = BodyEnd::Truncated;
        }
    }

    /// The body has ended.
    pub(crate) fn complete(&self) {
        let Some(recording) = &mut *self.lock() else { return };
        if recording.response.body_end == BodyEnd::Unread {
            recording.response.body_end = BodyEnd::Complete;
        }
    }

    /// The body has not been received to its end.
    pub(crate) fn fail(&self) {
        if let Some(recording) = &mut *self.lock() {
            recording.response.body_end = BodyEnd::Failed;
        }
    }

    /// Ends the recording, and hides the secrets of a configuration in it, and those of labelled imports.
    pub(crate) fn close<'a>(
        &self,
        config: &Values,
        imports: impl IntoIterator<Item = &'a Values>,
    ) -> Option<Arc<RecordedResponse>> {
        let mut response = self.lock().take()?.response;
        response.placeholders = hide(&mut response, config);
        for values in imports {
            // A scenario takes the values of imports from the sidecar.
            drop(hide(&mut response, values));
        }
        Some(Arc::new(response))
    }

    fn lock(&self) -> MutexGuard<'_, Option<RecordingState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces values of the configuration that are secrets, or whose names are those of secrets. A scenario with the
/// placeholders as its configuration sends the same requests. Returns those that were found, by name.
fn hide(response: &mut RecordedResponse, config: &Values) -> BTreeMap<String, String> {
    let mut placeholders = BTreeMap::new();
    for (name, value) in secrets(config) {
        let placeholder = placeholder(name);
        let mut is_found = false;
        let texts = std::iter::once(&mut response.url).chain(response.headers.iter_mut().map(|(_, text)| text));
        for text in texts {
            if let Some(replaced) = replaced(text.as_bytes(), value.as_bytes(), &placeholder) {
                (*text, is_found) = (String::from_utf8_lossy(&replaced).into_owned(), true);
            }
        }
        // A body may be text in any encoding, or be cut within a letter.
        if let Some(replaced) = replaced(&response.body, value.as_bytes(), &placeholder) {
            (response.body, is_found) = (replaced, true);
        }
        if is_found {
            placeholders.insert(name.clone(), placeholder);
        }
    }
    placeholders
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

/// If a text begins with a value, percent-encoded or not, the length of the value in the text. Which characters are
/// encoded differs between clients, URLs and forms.
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

    fn begin(recorder: &ResponseRecorder, url: &str) -> Option<ResponseRecording> {
        recorder.begin(&url.parse().unwrap())
    }

    fn recorded(open: &ResponseRecording) -> Arc<RecordedResponse> {
        open.close(&Values::default(), []).unwrap()
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
    fn responses_are_recorded_only_if_the_host_keeps_them() {
        assert!(begin(&ResponseRecorder::new(None), "http://a/").is_none());
    }

    #[test]
    fn a_body_is_recorded_as_far_as_it_is_read_and_up_to_a_limit() {
        let recorder = ResponseRecorder::new(Some(ResponseMemory::new(usize::MAX)));
        let url = "http://a/";
        let open = begin(&recorder, url).unwrap();
        open.append(b"one ");
        open.append(b"two");
        open.complete();
        let response = recorded(&open);
        assert_eq!((&response.body[..], response.body_end), (&b"one two"[..], BodyEnd::Complete));
        // A body may outlive the invocation.
        open.append(b" three");
        assert!(open.close(&Values::default(), []).is_none());

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
        let response = recorded(&long);
        assert_eq!((response.body.len(), response.body_end), (RESPONSE_BYTES - url.len(), BodyEnd::Truncated));

        let headed = begin(&recorder, url).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("a", "b".parse().unwrap());
        headers.insert("long", "x".repeat(RESPONSE_BYTES).parse().unwrap());
        headed.headers(&headers);
        let response = recorded(&headed);
        assert_eq!((response.headers.len(), response.body_end), (1, BodyEnd::Truncated));
    }

    #[test]
    fn the_recorded_responses_of_an_invocation_and_of_the_host_are_limited() {
        let memory = ResponseMemory::new(INVOCATION_BYTES + RESPONSE_BYTES);
        let fill = |recorder: &ResponseRecorder| {
            let open: Vec<_> = (0..6).map_while(|_| begin(recorder, "http://a/")).collect();
            open.iter().for_each(|open| open.append(&[b'x'; RESPONSE_BYTES]));
            let recorded: Vec<_> = open.iter().map(recorded).collect();
            let bytes: usize = recorded.iter().map(|response| response.url.len() + response.body.len()).sum();
            (bytes, recorded)
        };
        let (one, other) = (ResponseRecorder::new(Some(memory.clone())), ResponseRecorder::new(Some(memory)));
        let (bytes, held) = fill(&one);
        assert_eq!((bytes, begin(&one, "http://a/").is_none()), (INVOCATION_BYTES, true));
        let (bytes, _) = fill(&other);
        assert!(bytes <= RESPONSE_BYTES, "{bytes}");
        drop(held);
        let (bytes, _) = fill(&ResponseRecorder::new(other.memory));
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
        let recorder = ResponseRecorder::new(Some(ResponseMemory::new(usize::MAX)));
        let open = begin(&recorder, "http://example.com/on?key=s3cret%2Fkey&again=s3cret/key-2").unwrap();
        open.append(br#"{"token":"s3cret/key-2"}"#);
        let response = open.close(&config, []).unwrap();
        assert_eq!(response.url, "http://example.com/on?key=hidden-api-key&again=hidden-mail-token");
        assert_eq!(response.body, br#"{"token":"hidden-mail-token"}"#);
        let placeholders: Vec<_> = response.placeholders.iter().collect();
        assert_eq!(placeholders.len(), 2, "{placeholders:?}");
        assert_eq!(response.placeholders["api.key"], "hidden-api-key");
    }
}
