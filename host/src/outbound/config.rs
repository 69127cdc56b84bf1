//! Settings of outgoing requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proxy::ProxySetting;
use crate::files;
use crate::networks::NamedNetworks;

/// The largest file of authorities.
const MAX_AUTHORITIES_BYTES: u64 = 4 << 20;

/// Settings of outgoing requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    /// The proxy: `environment`, `off`, or a URL.
    #[schemars(with = "String")]
    pub proxy: ProxySetting,
    /// Hosts that are reached without the proxy of `proxy`, as names with their subdomains, addresses or ranges.
    pub no_proxy: Vec<String>,
    /// A PEM file with certificates of authorities to trust, in addition to those of the system.
    pub ca_file: Option<PathBuf>,
    /// Private networks by name, which sidecars grant and to which webhooks of operators may go.
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub networks: NamedNetworks,
}

/// Why a file with certificates of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the file of certificates {} {reason}", path.display())]
pub struct AuthoritiesError {
    path: PathBuf,
    reason: String,
}

impl OutboundConfig {
    /// The additional authorities. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read, or contains anything else.
    pub fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, AuthoritiesError> {
        self.ca_file.as_deref().map_or(Ok(Vec::new()), read_authorities)
    }
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, AuthoritiesError> {
    let fail = |reason| AuthoritiesError { path: path.to_owned(), reason };
    let pem =
        files::read_text(path, MAX_AUTHORITIES_BYTES).map_err(|error| fail(format!("cannot be read: {error}")))?;
    parse_authorities(pem.as_bytes()).map_err(fail)
}

/// Parses the certificates of authorities in PEM.
///
/// # Errors
/// If there is none, or one cannot be used.
pub(super) fn parse_authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("is not valid PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("contains no certificate in PEM".to_owned());
    }
    let mut usable = rustls::RootCertStore::empty();
    for certificate in &certificates {
        let added = usable.add(certificate.clone());
        added.map_err(|error| format!("contains a certificate that cannot be used: {error}"))?;
    }
    Ok(certificates)
}
