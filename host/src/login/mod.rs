//! Login through an OpenID provider: the authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636). The
//! groups of a person decide the role.

mod config;
mod pending;
mod provider;

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Semaphore;

pub use config::{GroupRole, OidcConfig};
use pending::{PendingLogin, PendingLogins};
pub use provider::ProviderError;
use provider::{BegunLogin, Identity, Provider};

use crate::clock::Timestamp;
use crate::outbound::Client;

/// Why a login fails.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The provider cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The provider refused the login.
    #[error("the provider refused the login: {0}")]
    Refused(String),
    /// The callback belongs to no login that this browser has begun, or to one that has ended.
    #[error("this login has ended, or another browser has begun it; begin again")]
    NotPending,
    /// Too many logins wait for the provider.
    #[error("too many logins wait for the OpenID provider; try again in a moment")]
    Busy,
    /// The system has no random numbers.
    #[error("no random numbers are available: {0}")]
    NoRandomNumbers(getrandom::Error),
    /// No group of the person has a role.
    #[error(
        "{0} has logged in, but none of their groups has a role on this host; ask an administrator to add a group to [access.oidc] roles"
    )]
    NoRole(String),
}

/// What a completed login permits.
#[derive(Clone, Debug)]
pub struct CompletedLogin {
    /// The name of the person, for people.
    pub name: String,
    /// What the person may do.
    pub role: GroupRole,
    /// The path to continue at.
    pub return_to: String,
}

/// The query of a callback (RFC 6749, section 4.1.2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Logs people in.
#[derive(Clone, Debug)]
pub struct Login {
    config: Arc<OidcConfig>,
    provider: Arc<Provider>,
    pending: Arc<PendingLogins>,
    /// Permits of logins that wait for the provider.
    begun: Arc<Semaphore>,
}

/// The limit of logins that wait for the provider at the same time. A provider that hangs must not occupy all
/// connections of the admin interface.
const MAX_WAITING: usize = 32;
/// The longest text of a provider that is shown.
const MAX_TEXT_CHARACTERS: usize = 200;

impl Login {
    /// Logins through a provider. Nothing is sent before the first login.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(config: OidcConfig, client: Client) -> Result<Self, getrandom::Error> {
        let config = Arc::new(config);
        let provider = Arc::new(Provider::new(Arc::clone(&config), client));
        let (pending, begun) = (Arc::new(PendingLogins::new()?), Arc::new(Semaphore::new(MAX_WAITING)));
        Ok(Self { config, provider, pending, begun })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// Begins a login. Returns the URL of the provider, and the secret that the browser keeps until the callback.
    ///
    /// # Errors
    /// If the provider cannot be used.
    pub async fn begin(&self, return_to: &str, now: Timestamp) -> Result<(String, String), LoginError> {
        let _permit = self.begun.try_acquire().map_err(|_| LoginError::Busy)?;
        let BegunLogin { url, state, nonce, verifier } = self.provider.begin().await?;
        let pending = PendingLogin { state, nonce, verifier, return_to: safe_path(return_to) };
        let browser = self.pending.seal(pending, now).map_err(LoginError::NoRandomNumbers)?;
        Ok((url, browser))
    }

    /// Ends a login. `browser` is the secret that the browser kept.
    ///
    /// # Errors
    /// If the login has not been begun by this browser, the provider refuses it, or the person has no role.
    pub async fn complete(
        &self,
        callback: Callback,
        browser: &str,
        now: Timestamp,
    ) -> Result<CompletedLogin, LoginError> {
        let state = callback.state.ok_or(LoginError::NotPending)?;
        let pending = self.pending.end(&state, browser, now).ok_or(LoginError::NotPending)?;
        if let Some(error) = callback.error {
            let description = callback.error_description.map(|text| format!(" ({text})")).unwrap_or_default();
            return Err(LoginError::Refused(shortened(&format!("{error}{description}"))));
        }
        let code = callback.code.ok_or(LoginError::NotPending)?;
        let Identity { name, groups } = self.provider.complete(code, pending.nonce, pending.verifier, now).await?;
        match self.config.role_of(&groups) {
            Some(role) => Ok(CompletedLogin { name, role: role.clone(), return_to: pending.return_to }),
            None => Err(LoginError::NoRole(name)),
        }
    }
}

/// Where a login continues by default: at the dashboard.
const DEFAULT_PATH: &str = "/";

/// A text from outside without control characters, and not longer than people read.
fn shortened(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_TEXT_CHARACTERS).collect()
}

/// A path on this host. A URL of another host would send people there after their login.
fn safe_path(path: &str) -> String {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_local { path.to_owned() } else { DEFAULT_PATH.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_continues_on_this_host() {
        for (given, path) in [
            ("/dead-letters?group=5", "/dead-letters?group=5"),
            ("", "/"),
            ("https://evil.example/", "/"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("evil", "/"),
            ("/a\r\nset-cookie: b", "/"),
        ] {
            assert_eq!(safe_path(given), path, "{given:?}");
        }
    }
}
