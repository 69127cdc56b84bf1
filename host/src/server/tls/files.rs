//! The files with a certificate and its key: reads them, and says what is wrong with them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The largest file, in bytes.
const LIMIT_BYTES: u64 = 1 << 20;
/// The name of HTTP/2 in handshakes.
pub(in crate::server) const HTTP2: &[u8] = b"h2";
/// What clients may negotiate, in the order of preference (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// The files of a listener with TLS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, followed by the intermediate certificates, in PEM.
    pub certificate: PathBuf,
    /// The private key of the certificate, in PEM.
    pub key: PathBuf,
}

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the file {path} {fault}")]
pub struct TlsFileError {
    path: PathBuf,
    fault: FileFault,
}

#[derive(Debug, thiserror::Error)]
enum FileFault {
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    #[error("is larger than {LIMIT_BYTES} bytes")]
    TooLarge,
    #[error("is not valid PEM: {0}")]
    Malformed(&'static str),
    #[error("contains no certificate; write it in PEM, as `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    #[error("contains no private key; write it in PEM without a passphrase, as `-----BEGIN PRIVATE KEY-----`")]
    NoKey,
    #[error("contains a certificate that cannot be used: {0}")]
    BadCertificate(rustls::Error),
    #[error("contains a private key that cannot be used: {0}; use RSA with at least 2048 bits, ECDSA or Ed25519")]
    BadKey(rustls::Error),
    #[error("is not the private key of the certificate in {0}")]
    OtherKey(PathBuf),
}

/// The contents of the files.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A digest of the files, which shows whether they have changed.
pub(super) type Fingerprint = [u8; 32];

impl Contents {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for part in [&self.certificate, &self.key] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl TlsConfig {
    pub(super) fn read(&self) -> Result<Contents, TlsFileError> {
        Ok(Contents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    /// The configuration of a server with these files: TLS 1.3 and 1.2.
    pub(super) fn build(&self, found: &Contents) -> Result<ServerConfig, TlsFileError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&self.certificate, &found.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&found.key)
            .map_err(|error| fault(&self.key, malformed(&error, FileFault::NoKey)))?;
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| self.unusable(error))?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&self.key, FileFault::BadKey(error)))?;
        let mut server = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(server)
    }

    fn unusable(&self, error: rustls::Error) -> TlsFileError {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                fault(&self.key, FileFault::OtherKey(self.certificate.clone()))
            }
            error @ rustls::Error::InvalidCertificate(_) => fault(&self.certificate, FileFault::BadCertificate(error)),
            error => fault(&self.key, FileFault::BadKey(error)),
        }
    }
}

fn fault(path: &Path, fault: FileFault) -> TlsFileError {
    TlsFileError { path: path.to_owned(), fault }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > LIMIT_BYTES => Err(fault(path, FileFault::TooLarge)),
        Ok(_) => Ok(bytes),
        Err(error) => Err(fault(path, FileFault::Unreadable(error))),
    }
}

/// The certificates in a file, at least one.
fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| fault(path, malformed(&error, FileFault::NoCertificate)))?;
    if found.is_empty() { Err(fault(path, FileFault::NoCertificate)) } else { Ok(found) }
}

/// The fault in a PEM file. It quotes nothing, since the file may contain a key.
fn malformed(error: &PemError, missing: FileFault) -> FileFault {
    FileFault::Malformed(match error {
        PemError::NoItemsFound => return missing,
        PemError::MissingSectionEnd { .. } => "a BEGIN line has no END line",
        PemError::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        PemError::Base64Decode(_) => "a section is not base64",
        _ => "a section cannot be read",
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    use super::*;

    fn generated() -> (String, String) {
        let Generated { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn a_fault_names_its_file_and_quotes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let config =
            TlsConfig { certificate: directory.path().join("host.crt"), key: directory.path().join("host.key") };
        let load = |certificate: &str, key: &str| {
            std::fs::write(&config.certificate, certificate).unwrap();
            std::fs::write(&config.key, key).unwrap();
            config.read().and_then(|found| config.build(&found)).map(drop).map_err(|error| error.to_string())
        };
        let missing = config.read().err().unwrap().to_string();
        assert!(missing.contains("host.crt cannot be read: No such file"), "{missing}");
        let ((certificate, key), (other, _)) = (generated(), generated());
        assert_eq!(load(&certificate, &key), Ok(()));
        assert_eq!(load(&format!("{certificate}{other}"), &key), Ok(()), "a chain");
        let half = &key[..key.len() / 2];
        let garbage = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let no_key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let no_text = "-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n";
        let large = "x".repeat(2 << 20);
        for (certificate, key, file, fault) in [
            ("", key.as_str(), "host.crt", "contains no certificate"),
            (&key, &key, "host.crt", "contains no certificate"),
            (garbage, &key, "host.crt", "a certificate that cannot be used"),
            (&large, &key, "host.crt", "larger than"),
            (&certificate, "", "host.key", "contains no private key"),
            (&certificate, &certificate, "host.key", "contains no private key"),
            (&certificate, &encrypted, "host.key", "without a passphrase"),
            (&certificate, half, "host.key", "no END line"),
            (&certificate, no_text, "host.key", "not base64"),
            (&certificate, no_key, "host.key", "a private key that cannot be used"),
            (&other, &key, "host.key", "not the private key of the certificate in"),
        ] {
            let error = load(certificate, key).unwrap_err();
            assert!(error.contains(file) && error.contains(fault), "{fault}: {error}");
            assert!(!error.contains("c2VjcmV0") && !error.contains("secret"), "{error}");
        }
    }
}
