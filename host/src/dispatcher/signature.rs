//! Webhook signatures by the Standard Webhooks specification 1.0: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Timestamp;

/// The headers of a signed request.
pub(super) struct Signature {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) timestamp: String,
    pub(super) signature: String,
}

/// Signs a body with each of the keys, so that a receiver that knows one of them can verify it. None if a key is
/// unusable, or if there are no keys.
pub(super) fn sign(keys: impl Iterator<Item = Vec<u8>>, id: &str, now: Timestamp, body: &[u8]) -> Option<Signature> {
    let timestamp = (now.0 / 1_000).to_string();
    let mut signatures = Vec::new();
    for key in keys {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        signatures.push(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())));
    }
    let signature = signatures.join(" ");
    (!signature.is_empty()).then(|| Signature { id: id.to_owned(), timestamp, signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::Secret;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_reference_example_is_signed_alike() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = Timestamp(1_614_265_330_000);
        let sign = |keys: Vec<Vec<u8>>| {
            sign(keys.into_iter(), "msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#)
        };
        let signed = sign(secret.keys().collect()).unwrap();
        assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(signed.timestamp, "1614265330");
        let both = sign(secret.keys().chain([b"another key".to_vec()]).collect()).unwrap().signature;
        let [first, second] = both.split(' ').collect::<Vec<_>>()[..] else { panic!("{both}") };
        assert!(first == signed.signature && second.starts_with("v1,") && second != first, "{both}");
        assert!(sign(Vec::new()).is_none());
    }
}
