//! Logins that have begun and not ended. They end with the process, so people then begin again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Timestamp;

/// How long a person has to log in at the provider.
const VALIDITY: Duration = Duration::from_mins(10);
/// The limit of logins that have begun. Anybody may begin one.
const LIMIT: usize = 10_000;

/// A login that has begun.
#[derive(Clone, Debug)]
pub(super) struct PendingLogin {
    /// Ties the provider's response to this login.
    pub(super) nonce: String,
    /// The secret of PKCE.
    pub(super) verifier: String,
    /// The path to continue at.
    pub(super) return_to: String,
}

/// The logins that have begun, by their state.
#[derive(Default)]
pub(super) struct PendingLogins(Mutex<HashMap<String, Entry>>);

struct Entry {
    login: PendingLogin,
    /// A hash of the secret of the browser that has begun the login, so that comparing takes constant time.
    browser: CtOutput<Hmac<Sha256>>,
    expires_at: Timestamp,
}

impl std::fmt::Debug for PendingLogins {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PendingLogins")
    }
}

impl PendingLogins {
    /// Adds a login. Returns the secret for the browser.
    pub(super) fn insert(&self, state: String, login: PendingLogin, now: Timestamp) -> String {
        let browser = BASE64_URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes());
        let entry = Entry { login, browser: hash(&state, &browser), expires_at: now.after(VALIDITY) };
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= LIMIT {
            logins.retain(|_, entry| entry.expires_at > now);
        }
        if logins.len() >= LIMIT {
            // A flood of logins must not fill the memory. Those in progress begin again.
            logins.clear();
        }
        logins.insert(state, entry);
        browser
    }

    /// Takes a login that this browser has begun. Nobody can take it again.
    pub(super) fn take(&self, state: &str, browser: &str, now: Timestamp) -> Option<PendingLogin> {
        let entry = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(state)?;
        (entry.browser == hash(state, browser) && entry.expires_at > now).then_some(entry.login)
    }
}

fn hash(state: &str, browser: &str) -> CtOutput<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(state.as_bytes()).expect("a key may have any length");
    mac.update(browser.as_bytes());
    mac.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_ends_once_in_the_browser_that_has_begun_it() {
        let logins = PendingLogins::default();
        let login = || PendingLogin { nonce: "n".to_owned(), verifier: "v".to_owned(), return_to: "/".to_owned() };
        let now = Timestamp(1_000_000);
        let browser = logins.insert("a".to_owned(), login(), now);
        assert!(logins.take("b", &browser, now).is_none());
        assert_eq!(logins.take("a", &browser, now).unwrap().nonce, "n");
        assert!(logins.take("a", &browser, now).is_none(), "a replayed login");
        let browser = logins.insert("a".to_owned(), login(), now);
        assert!(logins.take("a", "another browser", now).is_none());
        assert!(logins.take("a", &browser, now).is_none(), "a wrong guess ends the login");
        let browser = logins.insert("a".to_owned(), login(), now);
        assert!(logins.take("a", &browser, now.after(VALIDITY)).is_none());
        for number in 0..=LIMIT {
            logins.insert(number.to_string(), login(), now);
        }
        assert!(logins.0.lock().unwrap().len() <= LIMIT);
    }
}
