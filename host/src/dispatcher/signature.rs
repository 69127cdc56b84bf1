//! Signatures of webhooks, by the Standard Webhooks specification 1.0: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::subscription::Secret;

/// The headers of a signed request.
pub(super) struct Signature {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) timestamp: String,
    pub(super) signature: String,
}

/// Signs a body. None if the secret is malformed, which it was not when it was given.
pub(super) fn sign(secret: &Secret, id: &str, now: Timestamp, body: &[u8]) -> Option<Signature> {
    let timestamp = (now.0 / 1_000).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.bytes()?).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    Some(Signature { id: id.to_owned(), timestamp, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_reference_example_is_signed_alike() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = Timestamp(1_614_265_330_000);
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(signed.timestamp, "1614265330");
    }
}
