//! The URL of a database.

use std::fmt::{self, Debug, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::Url;

/// The schema of a URL that names none.
const DEFAULT_SCHEMA: &str = "sandbus";
/// How long a host waits for a connection, unless the URL sets `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The client's default for the first probe of an idle connection, which is too long to notice that a machine has died.
const DEFAULT_KEEPALIVE: Duration = Duration::from_hours(2);
/// How long data may be unacknowledged before a connection counts as lost (`tcp(7)`, `TCP_USER_TIMEOUT`).
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// The URL of a database, as in libpq's manual ("Connection URIs"), with the parameter `schema`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The URL without its password, for people.
    shown: String,
    pub(super) config: Config,
    /// The schema with all tables.
    pub(super) schema: String,
    pub(super) tls: TlsFiles,
}

/// The certificates of connections with TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    /// The authorities to trust. Without them, those of the system.
    pub(super) root: Option<PathBuf>,
    /// The certificate by which the host identifies itself, and its key.
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// The error for a text that is not the URL of a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// The text is not a URL, or one of its parameters is unknown or invalid. The text itself may have a password.
    #[error("the URL of the database is invalid: {0}")]
    Invalid(String),
    /// The name of the schema is not an identifier.
    #[error(
        "`{0}` is not a name of a schema; use up to 63 lower-case letters, digits and `_`, and begin with a letter"
    )]
    Schema(String),
}

impl PostgresUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// If it is not the URL of a database.
    pub fn parse(text: &str) -> Result<Self, PostgresUrlError> {
        let invalid = |error: &dyn Display| PostgresUrlError::Invalid(error.to_string());
        let mut url = Url::parse(text).map_err(|error| invalid(&error))?;
        let (mut schema, mut tls, mut mode) = (DEFAULT_SCHEMA.to_owned(), TlsFiles::default(), None);
        let mut rest = Vec::new();
        for (name, value) in url.query_pairs() {
            match &*name {
                "schema" => schema = value.into_owned(),
                "sslrootcert" => tls.root = Some(value.into_owned().into()),
                "sslcert" => tls.certificate = Some(value.into_owned().into()),
                "sslkey" => tls.key = Some(value.into_owned().into()),
                "sslmode" => mode = Some(value.into_owned()),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        if !is_identifier(&schema) {
            return Err(PostgresUrlError::Schema(schema));
        }
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(&rest);
            // The client decodes `%20` only.
            let query = url.query().unwrap_or_default().replace('+', "%20");
            url.set_query(Some(&query));
        }
        let mut config = Config::from_str(url.as_str()).map_err(|error| invalid(&WithSource(&error)))?;
        config.ssl_mode(ssl_mode(mode.as_deref(), &config)?);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if config.get_keepalives_idle() == DEFAULT_KEEPALIVE {
            config
                .keepalives_idle(UNACKNOWLEDGED / 2)
                .keepalives_interval(Duration::from_secs(2))
                .keepalives_retries(3);
        }
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        config.application_name("sandbus");
        if config.get_password().is_none()
            && let Some(password) = std::env::var_os("PGPASSWORD")
        {
            config.password(password.to_string_lossy().as_bytes());
        }
        let mut shown = Url::parse(text).map_err(|error| invalid(&error))?;
        // A URL that cannot have a password has none to hide.
        let _ = shown.password().is_some().then(|| shown.set_password(Some("***")));
        if shown.query_pairs().any(|(name, _)| name == "password") {
            let rest: Vec<_> = shown
                .query_pairs()
                .filter(|(name, _)| name != "password")
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            shown.set_query(None);
            if !rest.is_empty() {
                shown.query_pairs_mut().extend_pairs(rest);
            }
        }
        Ok(Self { shown: shown.to_string(), config, schema, tls })
    }
}

/// PostgreSQL folds names without quotes to lower case, and cuts longer ones.
fn is_identifier(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}

/// Connections to other machines need TLS, unless the URL says otherwise. The certificate of the server is always
/// verified, as with libpq's `verify-full`.
fn ssl_mode(mode: Option<&str>, config: &Config) -> Result<SslMode, PostgresUrlError> {
    match mode {
        Some("disable") => Ok(SslMode::Disable),
        Some("require" | "verify-ca" | "verify-full") => Ok(SslMode::Require),
        Some(other) => Err(PostgresUrlError::Invalid(format!(
            "`sslmode={other}` is not supported; use `verify-full`, or `disable` on a network that you trust"
        ))),
        None if is_on_this_machine(config) => Ok(SslMode::Disable),
        None => Ok(SslMode::Require),
    }
}

/// Whether all servers are on this machine. A `hostaddr` counts, because it is where the connection goes.
fn is_on_this_machine(config: &Config) -> bool {
    config.get_hosts().iter().all(is_local) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

/// An error with its source, which says what is wrong.
struct WithSource<'a>(&'a tokio_postgres::Error);

impl Display for WithSource<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let error = self.0.to_string();
        match std::error::Error::source(self.0).map(ToString::to_string) {
            Some(source) if !error.contains(&source) => write!(formatter, "{error}: {source}"),
            _ => formatter.write_str(&error),
        }
    }
}

impl Display for PostgresUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in ["postgres://ada:secret@db/app", "postgres://db/app?user=ada&password=secret"] {
            let url = PostgresUrl::parse(text).unwrap();
            assert!(!format!("{url} {url:?}").contains("secret"), "{url}");
            assert_eq!(url.config.get_password(), Some(&b"secret"[..]));
        }
    }

    #[test]
    fn a_url_is_shown_without_its_password_only() {
        for (text, shown) in [
            ("postgres://ada:secret@db/app", "postgres://ada:***@db/app"),
            ("postgres://db/app?password=secret", "postgres://db/app"),
            ("postgres://db/app?password=secret&schema=one", "postgres://db/app?schema=one"),
            ("postgres://db/app?schema=one", "postgres://db/app?schema=one"),
        ] {
            assert_eq!(PostgresUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn other_machines_are_reached_with_tls() {
        for (text, expected) in [
            ("postgres://localhost/app", SslMode::Disable),
            ("postgres://127.0.0.1:5433/app", SslMode::Disable),
            ("postgres://[::1]/app", SslMode::Disable),
            ("postgresql:///app?host=/run/postgresql", SslMode::Disable),
            ("postgres://db.example/app", SslMode::Require),
            ("postgres://localhost,db.example/app", SslMode::Require),
            ("postgres:///app?hostaddr=203.0.113.5", SslMode::Require),
            ("postgres:///app?host=localhost&hostaddr=203.0.113.5", SslMode::Require),
            ("postgres://db.example/app?sslmode=disable", SslMode::Disable),
            ("postgres://localhost/app?sslmode=verify-full", SslMode::Require),
        ] {
            let parsed = PostgresUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed.config.get_ssl_mode(), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        let refused = |text: &str| PostgresUrl::parse(text).unwrap_err().to_string();
        assert!(refused("postgres://db/app?sslmode=prefer").contains("`sslmode=prefer`"));
        assert!(refused("postgres://db/app?schema=a-b").contains("`a-b`"));
        assert!(refused("postgres://db/app?schema=").contains("schema"));
        assert!(refused("postgres://db/app?colour=red").contains("colour"));
        let spaced = PostgresUrl::parse("postgres://db/app?options=-c%20work_mem%3D8MB&password=a%2Bb").unwrap();
        assert_eq!(spaced.config.get_options(), Some("-c work_mem=8MB"));
        assert_eq!(spaced.config.get_password(), Some(&b"a+b"[..]));
        assert_eq!(PostgresUrl::parse("postgres://db/app?schema=orders").unwrap().schema, "orders");
    }
}
