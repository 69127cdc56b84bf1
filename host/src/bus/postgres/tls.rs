//! TLS to the database. The certificate of the server and its name are always verified.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresError;
use super::url::TlsFiles;

/// How connections are encrypted. The files are read once.
pub(super) fn connector(files: &TlsFiles) -> Result<MakeRustlsConnect, PostgresError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| PostgresError::Local(format!("cannot set up TLS: {error}")))?;
    let builder = match &files.root {
        Some(path) => {
            let mut trusted = rustls::RootCertStore::empty();
            for authority in certificates(path)? {
                trusted.add(authority).map_err(|error| unreadable(path, &error))?;
            }
            builder.with_root_certificates(trusted)
        }
        None => {
            let verifier = Verifier::new(provider).map_err(|error| {
                PostgresError::Local(format!("cannot read the certificates of the system: {error}"))
            })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let config = match (&files.certificate, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, read)
                .map_err(|error| unreadable(certificate, &error))?
        }
        _ => return Err(PostgresError::Local("`sslcert` and `sslkey` belong together; set both".to_owned())),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unreadable(path, &error))?;
    if read.is_empty() {
        return Err(unreadable(path, &io::Error::other("it has no certificate in PEM format")));
    }
    Ok(read)
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> PostgresError {
    PostgresError::Local(format!("cannot use {}: {error}", path.display()))
}
