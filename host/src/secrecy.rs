//! How values that contain secrets are shown.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use url::Url;

/// The text shown in place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// A URL for people: its scheme, host, port and path. The user name, the password, the query and the fragment are left
/// out, because webhook tokens occur in all of these. A text that is not a URL with a host may be a secret from its
/// beginning to its end, so only its length is given, and where its first fault is.
#[must_use]
pub fn address(address: &str) -> String {
    let parsed = Url::parse(address).ok();
    let Some((url, host)) = parsed.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        return unparsed(address, fault_in_url(address));
    };
    let scheme = url.scheme();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}{}", url.path())
}

/// A name from outside that is malformed, such as that of a method or a header, without its text.
#[must_use]
pub fn token(text: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    unparsed(text, text.bytes().position(|byte| !is_token(byte)))
}

/// A text that could not be parsed, without the text. The fault is the index of a byte.
fn unparsed(text: &str, fault: Option<usize>) -> String {
    let length = text.len();
    let unit = if length == 1 { "byte" } else { "bytes" };
    let fault = fault.map(|index| format!(" with a fault at byte {}", index + 1)).unwrap_or_default();
    format!("a text of {length} {unit}{fault}")
}

/// The first byte that prevents a text from being a URL with a host (RFC 3986, section 3), as far as that can be said
/// of one byte.
fn fault_in_url(text: &str) -> Option<usize> {
    let is_in_scheme = |index: usize, byte: u8| {
        byte.is_ascii_alphabetic() || index > 0 && (byte.is_ascii_digit() || b"+-.".contains(&byte))
    };
    let bytes = text.as_bytes();
    let scheme = bytes.iter().enumerate().find(|(index, byte)| !is_in_scheme(*index, **byte));
    let after = match scheme {
        Some((index, b':')) if index > 0 => index + 1,
        Some((index, _)) => return Some(index),
        // It ends within what could be a scheme.
        None => return None,
    };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let malformed = bytes.iter().enumerate().skip(after).find(|(_, byte)| !is_allowed(**byte));
    // Otherwise the fault is in the host or the port.
    let host = after + if text[after..].starts_with("//") { 2 } else { 0 };
    malformed.map(|(index, _)| index).or(Some(host).filter(|host| *host < bytes.len()))
}

/// The debug output of a secret.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

/// Values by name, some of them secret. They are readable, but debug output hides them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values {
    values: BTreeMap<String, String>,
    /// The names of the values that were declared as secrets.
    secrets: BTreeSet<String>,
}

impl Values {
    /// Values of which some are declared as secrets.
    #[must_use]
    pub fn new(values: BTreeMap<String, String>, secrets: BTreeSet<String>) -> Self {
        Self { values, secrets }
    }

    /// Whether a value was declared as a secret.
    #[must_use]
    pub fn is_secret(&self, name: &str) -> bool {
        self.secrets.contains(name)
    }

    /// The values that were declared as secrets.
    fn secret_texts(&self) -> impl Iterator<Item = &String> {
        self.secrets.iter().filter_map(|name| self.values.get(name))
    }
}

impl Deref for Values {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}

impl From<BTreeMap<String, String>> for Values {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self::new(values, BTreeSet::new())
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.values.keys().map(|name| (name, Hidden))).finish()
    }
}

/// The placeholder for a secret of the configuration where the secret itself is not available.
#[must_use]
pub fn placeholder(name: &str) -> String {
    format!("hidden-{}", name.replace(|other: char| !other.is_ascii_alphanumeric(), "-"))
}

/// The length in bytes below which a secret is not masked, because it would occur in many texts by chance.
const MIN_MASKED_BYTES: usize = 6;

/// Hides secrets in texts of plugins: log lines and reasons of failures.
#[derive(Clone, Default)]
pub struct SecretMask(Arc<[String]>);

impl SecretMask {
    /// Hides these secrets. Of a secret with several lines, each line is hidden, too.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut masked = Vec::new();
        for secret in secrets {
            let lines = secret.lines().filter(|line| line.len() < secret.len());
            for text in lines.chain([secret.as_str(), secret.trim()]) {
                // As it looks in URLs, in JSON and in debug output.
                masked
                    .push(percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string());
                masked.push(text.escape_debug().to_string());
                masked.push(text.to_owned());
            }
        }
        masked.sort_unstable();
        masked.dedup();
        masked.retain(|secret| secret.len() >= MIN_MASKED_BYTES);
        // The longest first, because one may contain another.
        masked.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(masked.into())
    }

    /// Hides the secrets among values.
    #[must_use]
    pub fn of<'a>(values: impl IntoIterator<Item = &'a Values>) -> Self {
        Self::new(values.into_iter().flat_map(Values::secret_texts).cloned())
    }

    /// The text without the secrets.
    #[must_use]
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in self.0.iter() {
            if masked.contains(secret.as_str()) {
                masked = Cow::Owned(masked.replace(secret.as_str(), HIDDEN));
            }
        }
        masked
    }

    /// Hides the secrets in a text.
    pub fn apply(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.mask(text) {
            *text = masked;
        }
    }
}

impl fmt::Debug for SecretMask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretMask({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (whole, shown) in [
            ("https://hooks.example.com/a/b", "https://hooks.example.com/a/b"),
            ("https://hooks.example.com/?token=s3cret", "https://hooks.example.com/"),
            ("https://hooks.example.com/a?x=s3cret&s3cret&y=", "https://hooks.example.com/a"),
            ("https://ada:s3cret@hooks.example.com/", "https://hooks.example.com/"),
            ("https://s3cret@hooks.example.com/", "https://hooks.example.com/"),
            ("https://:s3cret@hooks.example.com:8443/", "https://hooks.example.com:8443/"),
            ("http://[::1]:9000/a#s3cret", "http://[::1]:9000/a"),
            ("ftp://s3cret@host/", "ftp://host/"),
            // URLs without a host.
            ("mailto:s3cret@host", "a text of 18 bytes with a fault at byte 8"),
            ("s3cret:8080/", "a text of 12 bytes with a fault at byte 8"),
            ("//ada:s3cret@host", "a text of 17 bytes with a fault at byte 1"),
            ("/hook?s3cret", "a text of 12 bytes with a fault at byte 1"),
            ("hooks.example.com?s3cret", "a text of 24 bytes with a fault at byte 18"),
            ("https://ada:s3cret@", "a text of 19 bytes with a fault at byte 9"),
            ("https://ho st/s3cret", "a text of 20 bytes with a fault at byte 11"),
            ("https://host:s3cret/", "a text of 20 bytes with a fault at byte 9"),
            ("http://", "a text of 7 bytes"),
            ("s3cret", "a text of 6 bytes"),
            ("s3cret é", "a text of 9 bytes with a fault at byte 7"),
            ("", "a text of 0 bytes"),
        ] {
            assert_eq!(address(whole), shown, "{whole}");
        }
    }

    #[test]
    fn a_malformed_name_is_not_shown() {
        for (name, shown) in [
            ("authorization: Bearer s3cret", "a text of 28 bytes with a fault at byte 14"),
            ("s3cret\n", "a text of 7 bytes with a fault at byte 7"),
            ("", "a text of 0 bytes"),
            ("é", "a text of 2 bytes with a fault at byte 1"),
            ("\0", "a text of 1 byte with a fault at byte 1"),
        ] {
            assert_eq!(token(name), shown, "{name:?}");
        }
    }

    #[test]
    fn secrets_are_masked_in_texts() {
        let mask = SecretMask::new([
            "s3cret-key".to_owned(),
            "s3cret-key-2".to_owned(),
            "abc".to_owned(),
            "-----BEGIN\nMIIabcdef\n-----END".to_owned(),
        ]);
        for (text, masked) in [
            ("nothing", "nothing"),
            ("with s3cret-key, twice: s3cret-key", "with ***, twice: ***"),
            ("s3cret-key-2", "***"),
            ("abc is too short", "abc is too short"),
            ("a line: MIIabcdef", "a line: ***"),
            ("-----BEGIN\nMIIabcdef\n-----END", "***"),
            ("?key=s3cret%2Dkey", "?key=***"),
        ] {
            assert_eq!(mask.mask(text), masked, "{text}");
        }
        let odd = SecretMask::new(["a \"b\" & c\\d ".to_owned()]);
        for text in ["a \"b\" & c\\d ", "a \"b\" & c\\d", "a \\\"b\\\" & c\\\\d", "a%20%22b%22%20%26%20c%5Cd"] {
            assert_eq!(odd.mask(&format!("<{text}>")), "<***>", "{text}");
        }
        assert!(!format!("{mask:?}").contains("s3cret"));
    }

    #[test]
    fn values_are_not_shown() {
        let values = Values::from(BTreeMap::from([("token".to_owned(), "s3cret".to_owned())]));
        assert_eq!(values["token"], "s3cret");
        assert_eq!(format!("{values:?}"), "{\"token\": ***}");
    }
}
