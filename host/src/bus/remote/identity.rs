//! How the hosts of a store know each other.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name in the certificates. No other certificate is trusted, so the name identifies nothing.
const NAME: &str = "sandbus-host";
/// The length of a token, in bytes.
const TOKEN_BYTES: usize = 32;

/// The certificate and the token of one run of a host.
#[derive(Clone)]
pub(in crate::bus) struct Identity {
    certificate: CertificateDer<'static>,
    config: Arc<ServerConfig>,
    token: Vec<u8>,
}

/// What other hosts need in order to connect. Only hosts of the same store can read it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::bus) struct Advertisement {
    /// Where the host listens.
    pub(in crate::bus) address: String,
    /// Its certificate, in DER.
    pub(in crate::bus) certificate: Vec<u8>,
    /// The token that a host must present.
    pub(in crate::bus) token: Vec<u8>,
}

/// An identity cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub(in crate::bus) enum IdentityError {
    /// No certificate was made.
    #[error("cannot make a certificate for connections between hosts: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be used.
    #[error("cannot use a certificate for connections between hosts: {0}")]
    Tls(#[from] rustls::Error),
    /// The system has no random bytes.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

impl Identity {
    /// Makes an identity.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(in crate::bus) fn generate() -> Result<Self, IdentityError> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()])?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der())
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let certificate = cert.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)?;
        let mut token = vec![0; TOKEN_BYTES];
        getrandom::fill(&mut token).map_err(IdentityError::Random)?;
        Ok(Self { certificate, config: Arc::new(config), token })
    }

    /// What other hosts need in order to connect to an address of this one.
    pub(in crate::bus) fn advertise(&self, address: &str) -> Advertisement {
        let (address, certificate) = (address.to_owned(), self.certificate.to_vec());
        Advertisement { address, certificate, token: self.token.clone() }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Whether a host has the token.
    pub(super) fn accepts(&self, token: &[u8]) -> bool {
        // How long the comparison of digests takes tells nothing about the token.
        Sha256::digest(token) == Sha256::digest(&self.token)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Identity")
    }
}

impl std::fmt::Debug for Advertisement {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Advertisement").field(&self.address).finish()
    }
}

impl Advertisement {
    /// Connects with TLS to exactly this host.
    pub(super) fn connector(&self) -> Result<(TlsConnector, ServerName<'static>), IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.certificate.clone()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok((TlsConnector::from(Arc::new(config)), name))
    }
}
