//! TLS of a listener, from files that may be replaced at any time.

mod files;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use files::Fingerprint;
pub(super) use files::HTTP2;
pub use files::{TlsConfig, TlsFileError};

/// How often the files are read. Reading them finds every change, also of a link to their directory, as in the volumes
/// of Kubernetes.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The TLS configuration of a listener.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The listener's name in messages.
    listener: &'static str,
    config: TlsConfig,
    /// For new connections. Others keep the configuration that they began with.
    current: RwLock<Arc<ServerConfig>>,
    loaded: Fingerprint,
}

/// What the last reading of the files found: their content, or why they cannot be read.
type Seen = Result<Fingerprint, String>;

impl Tls {
    /// Loads the files.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn load(listener: &'static str, config: TlsConfig) -> Result<Self, TlsFileError> {
        let found = config.read()?;
        let current = RwLock::new(Arc::new(config.build(&found)?));
        Ok(Self(Arc::new(Shared { listener, config, current, loaded: found.fingerprint() })))
    }

    /// Accepts a TLS connection.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let current = Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(current).accept(stream).await
    }

    /// Replaces the configuration when the files change. Does not end by itself.
    pub(super) async fn watch(self) {
        let mut seen = Ok(self.0.loaded);
        loop {
            tokio::time::sleep(READ_EVERY).await;
            let shared = Arc::clone(&self.0);
            // If the reading panics, the current configuration stays.
            let Ok(found) = tokio::task::spawn_blocking(move || shared.reload(&seen)).await else { return };
            seen = found;
        }
    }
}

impl Shared {
    /// Reads the files, and uses them if they have changed. If they cannot be used, the current configuration stays.
    /// Says so once for each change.
    fn reload(&self, seen: &Seen) -> Seen {
        let read = self.config.read();
        let now = read.as_ref().map(files::Contents::fingerprint).map_err(ToString::to_string);
        if now == *seen {
            return now;
        }
        match read.and_then(|found| self.config.build(&found)) {
            Ok(new) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                tracing::info!(listener = self.listener, "new connections use the new certificate");
            }
            Err(error) => {
                tracing::warn!(listener = self.listener, %error, "cannot use the changed TLS files; new connections use the previous ones");
            }
        }
        now
    }
}
