//! The store's URL: `[bus] url` selects the engine.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::postgres::{PostgresUrl, PostgresUrlError};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// The kinds of stores, for error messages.
const KNOWN: &str = "`file:DIRECTORY` is the embedded bus, in a directory on a local disk, and `postgres://USER@HOST/DATABASE` is a PostgreSQL database";

/// Characters that RFC 3986 does not allow in a path, and those that begin the other parts of a URL.
const NOT_IN_PATHS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// The URL of a store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^([Ff][Ii][Ll][Ee]:.|[Pp][Oo][Ss][Tt][Gg][Rr][Ee][Ss]([Qq][Ll])?://)"))]
pub enum StoreUrl {
    /// `file:DIRECTORY`: the embedded bus. A relative directory is relative to the data directory.
    Directory(PathBuf),
    /// `postgres://USER@HOST/DATABASE`: a schema of a `PostgreSQL` database.
    Postgres(#[schemars(with = "String")] Box<PostgresUrl>),
}

/// The error for a text that is not the URL of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// The URL has no scheme.
    #[error("the address of the store has no scheme; {KNOWN}")]
    NoScheme,
    /// No engine has this scheme. Only the scheme is shown, because the rest may contain a password.
    #[error("`{0}:` is not a kind of store that this version knows; {KNOWN}")]
    UnknownScheme(String),
    /// The URL has no directory.
    #[error("`file:` names no directory; `file:.` is the data directory itself")]
    NoDirectory,
    /// The URL has a directory of another machine.
    #[error("the directory of the store is on the host `{0}`; the embedded bus needs a local disk")]
    OtherHost(String),
    /// The URL has a query, a fragment, or an invalid percent-encoding.
    #[error("`{0}` in the address of the store has a meaning in URLs; write it percent-encoded in a directory's name")]
    Reserved(char),
    /// The URL of a database is invalid.
    #[error(transparent)]
    Postgres(#[from] PostgresUrlError),
}

impl serde::Serialize for StoreUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Default for StoreUrl {
    /// The data directory itself.
    fn default() -> Self {
        Self::Directory(".".into())
    }
}

impl StoreUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// If the text is not the URL of a store.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let (scheme, rest) =
            text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).ok_or(StoreUrlError::NoScheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "file" => directory(rest).map(Self::Directory),
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(PostgresUrl::parse(text)?))),
            other => Err(StoreUrlError::UnknownScheme(other.to_owned())),
        }
    }

    /// The store's directory, for a host with a data directory. None if the store is not on this machine.
    #[must_use]
    pub fn directory(&self, data: &Path) -> Option<PathBuf> {
        match self {
            Self::Directory(directory) => Some(Self::resolve(directory, data)),
            Self::Postgres(_) => None,
        }
    }

    /// Resolves a directory against the data directory, leaving out the `.` of the default.
    pub(super) fn resolve(directory: &Path, data: &Path) -> PathBuf {
        if directory == Path::new(".") { data.to_owned() } else { data.join(directory) }
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|other| other.is_ascii_alphanumeric() || "+-.".contains(other))
}

/// RFC 8089, with relative directories, as in SQLite.
fn directory(rest: &str) -> Result<PathBuf, StoreUrlError> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => {
            let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
            if !(host.is_empty() || host.eq_ignore_ascii_case("localhost")) {
                return Err(StoreUrlError::OtherHost(host.to_owned()));
            }
            &rest[host.len()..]
        }
    };
    if let Some(reserved) = path.chars().find(|char| "?#".contains(*char)) {
        return Err(StoreUrlError::Reserved(reserved));
    }
    let is_code = |code: &str| code.len() >= 2 && code.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    if !path.split('%').skip(1).all(is_code) {
        return Err(StoreUrlError::Reserved('%'));
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    if bytes.contains(&0) {
        return Err(StoreUrlError::Reserved('\0'));
    }
    if bytes.is_empty() {
        return Err(StoreUrlError::NoDirectory);
    }
    Ok(OsString::from_vec(bytes).into())
}

impl TryFrom<String> for StoreUrl {
    type Error = StoreUrlError;

    fn try_from(text: String) -> Result<Self, StoreUrlError> {
        Self::parse(&text)
    }
}

impl Display for StoreUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => {
                write!(formatter, "file:{}", percent_encode(directory.as_os_str().as_bytes(), NOT_IN_PATHS))
            }
            Self::Postgres(url) => url.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_directory_is_named_as_in_file_urls() {
        for (text, expected) in [
            ("file:.", "."),
            ("file:bus", "bus"),
            ("file:../other/bus", "../other/bus"),
            ("FILE:bus", "bus"),
            ("file:/var/lib/sandbus", "/var/lib/sandbus"),
            // RFC 8089, section 2 and appendix B.
            ("file:///var/lib/sandbus", "/var/lib/sandbus"),
            ("file://localhost/var/lib/sandbus", "/var/lib/sandbus"),
            ("file:with%20space", "with space"),
            ("file:100%25", "100%"),
            ("file:what%3F", "what?"),
            ("file:a:b", "a:b"),
        ] {
            assert_eq!(StoreUrl::parse(text), Ok(StoreUrl::Directory(expected.into())), "{text}");
        }
    }

    #[test]
    fn an_invalid_store_url_is_refused_without_showing_its_password() {
        let refused = |text: &str| StoreUrl::parse(text).unwrap_err();
        for text in ["", "data", "/var/lib/sandbus", ":x", "1file:x", "fi le:x"] {
            assert_eq!(refused(text), StoreUrlError::NoScheme, "{text}");
        }
        for text in ["file:", "file://", "file://localhost"] {
            assert_eq!(refused(text), StoreUrlError::NoDirectory, "{text}");
        }
        assert_eq!(refused("file://server/share"), StoreUrlError::OtherHost("server".to_owned()));
        for (text, reserved) in
            [("file:a?mode=ro", '?'), ("file:a#b", '#'), ("file:100%", '%'), ("file:%zz", '%'), ("file:%00", '\0')]
        {
            assert_eq!(refused(text), StoreUrlError::Reserved(reserved), "{text}");
        }
        let message = refused("mysql://sandbus:secret@db/sandbus").to_string();
        assert!(message.contains("`mysql:`") && message.contains("`file:DIRECTORY`"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn a_relative_directory_is_in_the_data_directory() {
        let of = |text: &str| StoreUrl::parse(text).unwrap().directory(Path::new("data"));
        assert_eq!(StoreUrl::default().directory(Path::new("data")), Some("data".into()));
        assert_eq!(of("file:bus"), Some("data/bus".into()));
        assert_eq!(of("file:/mnt/bus"), Some("/mnt/bus".into()));
    }

    proptest! {
        #[test]
        fn each_directory_can_be_named(bytes in prop::collection::vec(1..=255_u8, 1..20)) {
            let url = StoreUrl::Directory(OsString::from_vec(bytes.clone()).into());
            // Two slashes at the beginning are a host's.
            prop_assume!(!bytes.starts_with(b"//"));
            prop_assert_eq!(StoreUrl::parse(&url.to_string()), Ok(url));
        }
    }
}
