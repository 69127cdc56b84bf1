//! Classifies failures of outgoing requests.

use std::error::Error;
use std::io::ErrorKind;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The name has no permitted address.
    Name,
    /// The connection was refused.
    Refused,
    /// There is no route to the address.
    NoRoute,
    /// The connection was closed too early.
    Ended,
    /// The connection timed out.
    Late,
    /// TLS failed.
    Tls,
    /// The server's certificate is not valid, or not trusted.
    Untrusted,
    /// The response ended too early.
    Incomplete,
    /// The response is not HTTP.
    Protocol,
    /// Any other failure.
    Other,
}

/// A name cannot be resolved to a permitted address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unresolved(pub(super) String);

impl Fault {
    /// Classifies an error by its causes. The innermost known cause counts.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut fault = known(error);
        let mut cause = error.source();
        while let Some(error) = cause {
            fault = known(error).or(fault);
            cause = error.source();
        }
        fault.unwrap_or(Self::Other)
    }
}

/// The innermost of nested system errors. Their `source` skips it.
pub(super) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error
}

fn known(error: &(dyn Error + 'static)) -> Option<Fault> {
    if error.is::<Unresolved>() {
        return Some(Fault::Name);
    }
    if let Some(error) = error.downcast_ref() {
        return Some(of_tls(error));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return if error.is_incomplete_message() || error.is_body_write_aborted() {
            Some(Fault::Incomplete)
        } else {
            error.is_parse().then_some(Fault::Protocol)
        };
    }
    let error = error.downcast_ref::<std::io::Error>()?;
    let inner = innermost(error);
    if let Some(error) = inner.downcast_ref() {
        return Some(of_tls(error));
    }
    if inner.is::<Unresolved>() {
        return Some(Fault::Name);
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(Fault::Refused),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Some(Fault::Ended),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
            Some(Fault::NoRoute)
        }
        ErrorKind::TimedOut => Some(Fault::Late),
        ErrorKind::UnexpectedEof => Some(Fault::Incomplete),
        _ => None,
    }
}

const fn of_tls(error: &rustls::Error) -> Fault {
    match error {
        rustls::Error::InvalidCertificate(_) => Fault::Untrusted,
        _ => Fault::Tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Box<dyn Error + Send + Sync>);

    #[test]
    fn the_cause_decides() {
        let of = |cause: Box<dyn Error + Send + Sync>| Fault::of(&Outer(cause));
        for (kind, fault) in [
            (ErrorKind::ConnectionRefused, Fault::Refused),
            (ErrorKind::ConnectionReset, Fault::Ended),
            (ErrorKind::BrokenPipe, Fault::Ended),
            (ErrorKind::NetworkUnreachable, Fault::NoRoute),
            (ErrorKind::TimedOut, Fault::Late),
            (ErrorKind::UnexpectedEof, Fault::Incomplete),
            (ErrorKind::Other, Fault::Other),
        ] {
            assert_eq!(of(Box::new(std::io::Error::from(kind))), fault, "{kind:?}");
        }
        assert_eq!(of(Box::new(Unresolved("a".to_owned()))), Fault::Name);
        let tls = || rustls::Error::DecryptError;
        assert_eq!(of(Box::new(tls())), Fault::Tls);
        assert_eq!(of(Box::new(std::io::Error::other(tls()))), Fault::Tls);
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert_eq!(of(Box::new(std::io::Error::other(untrusted))), Fault::Untrusted);
        // The TLS connector wraps the error of the handshake.
        assert_eq!(of(Box::new(std::io::Error::other(std::io::Error::other(tls())))), Fault::Tls);
    }
}
