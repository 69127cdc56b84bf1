//! Logins that have begun and not ended. The browser keeps them, encrypted, so that nobody can fill the host's memory.
//! They end with the process, so people then begin again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How long a person has to log in at the provider.
const VALIDITY: Duration = Duration::from_mins(10);
/// The longest path to continue at.
const MAX_PATH_BYTES: usize = 1_024;
/// The limit of states that are remembered after their logins have ended.
const MAX_ENDED: usize = 100_000;

/// A login that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingLogin {
    /// Ties the callback to this login.
    pub(super) state: String,
    /// Ties the provider's response to this login.
    pub(super) nonce: String,
    /// The secret of PKCE.
    pub(super) verifier: String,
    /// The path to continue at.
    pub(super) return_to: String,
}

/// What the browser keeps.
#[derive(Serialize, Deserialize)]
struct Kept {
    login: PendingLogin,
    expires_at: Timestamp,
}

/// Encrypts logins that have begun, and remembers those that have ended.
pub(super) struct PendingLogins {
    key: LessSafeKey,
    /// The states of logins that have ended, with the time at which they would have expired.
    ended: Mutex<BTreeMap<String, Timestamp>>,
}

impl std::fmt::Debug for PendingLogins {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PendingLogins")
    }
}

impl PendingLogins {
    /// Logins with a key of this process.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("a key of AES-256 has 32 bytes");
        Ok(Self { key: LessSafeKey::new(key), ended: Mutex::default() })
    }

    /// The secret that the browser keeps until the callback.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn seal(&self, mut login: PendingLogin, now: Timestamp) -> Result<String, getrandom::Error> {
        if login.return_to.len() > MAX_PATH_BYTES {
            super::DEFAULT_PATH.clone_into(&mut login.return_to);
        }
        let kept = Kept { login, expires_at: now.after(VALIDITY) };
        let mut text = serde_json::to_vec(&kept).expect("texts and a time can be written as JSON");
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_append_tag(unique, Aad::empty(), &mut text);
        sealed.expect("a text of some kilobytes can be encrypted");
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat()))
    }

    /// Ends the login that this browser has begun. Nobody can end it again.
    pub(super) fn end(&self, state: &str, secret: &str, now: Timestamp) -> Option<PendingLogin> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?;
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let opened = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut text).ok()?;
        let Kept { login, expires_at } = serde_json::from_slice(opened).ok()?;
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() >= MAX_ENDED {
            ended.retain(|_, expires_at| *expires_at > now);
        }
        // Each one belongs to a login that the host has begun. If there are too many, people wait for some minutes.
        if ended.len() >= MAX_ENDED || ended.insert(login.state.clone(), expires_at).is_some() {
            return None;
        }
        (login.state == state && expires_at > now).then_some(login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(state: &str) -> PendingLogin {
        let [nonce, verifier, return_to] = ["n", "v", "/a"].map(str::to_owned);
        PendingLogin { state: state.to_owned(), nonce, verifier, return_to }
    }

    #[test]
    fn a_login_ends_once_in_the_browser_that_has_begun_it() {
        let logins = PendingLogins::new().unwrap();
        let now = Timestamp(1_000_000);
        let browser = logins.seal(login("a"), now).unwrap();
        assert!(!browser.contains('v') || BASE64_URL_SAFE_NO_PAD.decode(&browser).is_ok());
        assert_eq!(logins.end("a", &browser, now), Some(login("a")));
        assert_eq!(logins.end("a", &browser, now), None, "a replayed login");
        let (browser, other) = (logins.seal(login("b"), now).unwrap(), logins.seal(login("c"), now).unwrap());
        assert_eq!(logins.end("b", &other, now), None, "another browser");
        assert_eq!(logins.end("c", &other, now), None, "a wrong guess ends the login");
        assert_eq!(logins.end("b", &browser, now), Some(login("b")), "and no other one");
        let late = logins.seal(login("d"), now).unwrap();
        assert_eq!(logins.end("d", &late, now.after(VALIDITY)), None);
        for forged in
            ["", "x", &other[1..], &format!("{other}x"), &PendingLogins::new().unwrap().seal(login("e"), now).unwrap()]
        {
            assert_eq!(logins.end("e", forged, now), None, "{forged}");
        }
        let long = PendingLogin { return_to: format!("/{}", "x".repeat(5_000)), ..login("f") };
        let sealed = logins.seal(long, now).unwrap();
        assert_eq!(logins.end("f", &sealed, now).unwrap().return_to, crate::login::DEFAULT_PATH);
    }
}
