//! The OpenID provider: its metadata, the exchange of codes, and the claims of people.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http_body_util::BodyExt as _;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::{Request, Response};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata};
use openidconnect::{
    AccessTokenHash, AsyncHttpClient, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse as _,
};
use serde_json::Value;
use tokio::sync::Mutex;

use super::config::OidcConfig;
use crate::clock::Timestamp;
use crate::files;
use crate::networks::GrantedNetworks;
use crate::outbound::{self, Client};

/// How long the metadata and the keys of the provider are used before they are read again.
const METADATA_VALIDITY: Duration = Duration::from_mins(10);
/// How long a failure to read them is remembered, and how soon they can be read again.
const FAILURE_VALIDITY: Duration = Duration::from_secs(5);
/// The limit of one request to the provider.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest secret of this host.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// The largest response of the provider.
const MAX_BYTES: usize = 1 << 20;
/// By how much the clocks of the provider and of this host may differ.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Why the provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It cannot be reached, or does not answer as the specification says.
    #[error("the OpenID provider {issuer} failed: {reason}")]
    Failed {
        /// Its URL.
        issuer: String,
        /// What failed.
        reason: String,
    },
    /// A setting cannot be used.
    #[error("access.oidc: {0}")]
    Setting(String),
    /// It answered, but the person's identity is not valid.
    #[error("the OpenID provider sent an identity that is not valid: {0}")]
    Identity(String),
}

/// Why a request to the provider has no response.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RequestError(String);

/// A login that has begun at the provider.
pub(super) struct BegunLogin {
    pub(super) url: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Provider {
    config: Arc<OidcConfig>,
    client: Client,
    metadata: Mutex<Option<Discovery>>,
}

/// The result of reading the metadata.
#[derive(Debug)]
struct Discovery {
    /// Why it failed, if it did.
    result: Result<CoreProviderMetadata, String>,
    at: Instant,
}

impl Discovery {
    fn is_current(&self) -> bool {
        self.at.elapsed() < if self.result.is_ok() { METADATA_VALIDITY } else { FAILURE_VALIDITY }
    }
}

impl Provider {
    pub(super) fn new(config: Arc<OidcConfig>, client: Client) -> Self {
        Self { config, client, metadata: Mutex::new(None) }
    }

    fn failed(&self, error: &dyn std::error::Error) -> ProviderError {
        ProviderError::Failed { issuer: self.config.issuer.clone(), reason: causes(error) }
    }

    /// The provider does not accept the code, or this host.
    fn refused(&self, error: &dyn std::error::Error) -> ProviderError {
        let mut reason = causes(error);
        if reason.contains("invalid_client") && self.config.client_secret_file.is_none() {
            reason.push_str("; the provider needs a secret: set client_secret_file in [access.oidc]");
        }
        ProviderError::Failed { issuer: self.config.issuer.clone(), reason }
    }

    /// The metadata and the keys of the provider.
    async fn metadata(&self) -> Result<CoreProviderMetadata, ProviderError> {
        let mut cached = self.metadata.lock().await;
        let fail =
            |reason: &String| ProviderError::Failed { issuer: self.config.issuer.clone(), reason: reason.clone() };
        if let Some(discovery) = cached.as_ref().filter(|discovery| discovery.is_current()) {
            return discovery.result.clone().map_err(|reason| fail(&reason));
        }
        let issuer = IssuerUrl::new(self.config.issuer.clone());
        let issuer = issuer.map_err(|error| ProviderError::Setting(format!("issuer: {error}")))?;
        let http = ProviderHttp(self.client.clone());
        let discovered = tokio::time::timeout(TIMEOUT, CoreProviderMetadata::discover_async(issuer, &http)).await;
        let result = match discovered {
            Ok(result) => result.map_err(|error| causes(&error)),
            Err(_) => Err("it did not answer in time".to_owned()),
        };
        // Those who wait for the lock get the same result.
        *cached = Some(Discovery { result: result.clone(), at: Instant::now() });
        result.map_err(|reason| fail(&reason))
    }

    /// Reads the keys again, because the provider may have new ones. Not more often than every few seconds.
    async fn refresh(&self) -> Result<CoreProviderMetadata, ProviderError> {
        let mut cached = self.metadata.lock().await;
        if cached.as_ref().is_some_and(|discovery| discovery.at.elapsed() > FAILURE_VALIDITY) {
            *cached = None;
        }
        drop(cached);
        self.metadata().await
    }

    async fn secret(&self) -> Result<Option<ClientSecret>, ProviderError> {
        let Some(file) = &self.config.client_secret_file else { return Ok(None) };
        let path = file.clone();
        let read = tokio::task::spawn_blocking(move || files::read_text(&path, MAX_SECRET_BYTES)).await;
        let text = read.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| {
            ProviderError::Setting(format!("cannot read client_secret_file {}: {error}", file.display()))
        })?;
        Ok(Some(ClientSecret::new(text.trim().to_owned())))
    }

    fn redirect_url(&self) -> Result<RedirectUrl, ProviderError> {
        let url = RedirectUrl::new(self.config.redirect_url());
        url.map_err(|error| ProviderError::Setting(format!("external_url: {error}")))
    }

    /// Begins a login.
    pub(super) async fn begin(&self) -> Result<BegunLogin, ProviderError> {
        let id = ClientId::new(self.config.client_id.clone());
        let client = CoreClient::from_provider_metadata(self.metadata().await?, id, self.secret().await?)
            .set_redirect_uri(self.redirect_url()?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let request =
            client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random).set_pkce_challenge(challenge);
        let scopes = self.config.scopes.iter().cloned().map(Scope::new);
        let (url, state, nonce) = scopes.fold(request, |request, scope| request.add_scope(scope)).url();
        Ok(BegunLogin {
            url: url.to_string(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Exchanges a code for the identity of a person.
    pub(super) async fn complete(
        &self,
        code: String,
        nonce: String,
        verifier: String,
        now: Timestamp,
    ) -> Result<Identity, ProviderError> {
        let id = ClientId::new(self.config.client_id.clone());
        let metadata = self.metadata().await?;
        let userinfo = metadata.userinfo_endpoint().map(|url| url.url().to_string());
        let client = CoreClient::from_provider_metadata(metadata, id, self.secret().await?)
            .set_redirect_uri(self.redirect_url()?);
        let http = ProviderHttp(self.client.clone());
        let exchange = client.exchange_code(AuthorizationCode::new(code)).map_err(|error| self.failed(&error))?;
        let exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(verifier));
        let tokens = exchange.request_async(&http).await.map_err(|error| self.refused(&error))?;
        let invalid = |error: &dyn std::error::Error| ProviderError::Identity(causes(error));
        let missing = || ProviderError::Identity("the response has no ID token; add the scope `openid`".to_owned());
        let token = tokens.id_token().ok_or_else(missing)?;
        // A token that has just expired by this host's clock may be valid by the provider's.
        let earlier = now.before(CLOCK_SKEW);
        let time = move || chrono::DateTime::from_timestamp_millis(earlier.0.cast_signed()).unwrap_or_default();
        let renewed;
        let mut verify = client.id_token_verifier().set_time_fn(time);
        let nonce = Nonce::new(nonce);
        if let Err(ClaimsVerificationError::SignatureVerification(_)) = token.claims(&verify, &nonce) {
            let id = ClientId::new(self.config.client_id.clone());
            renewed = CoreClient::from_provider_metadata(self.refresh().await?, id, self.secret().await?);
            verify = renewed.id_token_verifier().set_time_fn(time);
        }
        let claims = token.claims(&verify, &nonce).map_err(|error| invalid(&error))?;
        if claims.authorized_party().is_some_and(|party| **party != self.config.client_id) {
            return Err(ProviderError::Identity("it is for another client".to_owned()));
        }
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(|error| invalid(&error))?;
            let key = token.signing_key(&verify).map_err(|error| invalid(&error))?;
            let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
            if actual.map_err(|error| invalid(&error))? != *expected {
                return Err(ProviderError::Identity("its access token belongs to another person".to_owned()));
            }
        }
        let subject = claims.subject().to_string();
        // The signature of the token has been verified above.
        let mut claims = payload(&token.to_string()).ok_or_else(missing)?;
        if claims.get(&self.config.groups_claim).is_none()
            && let Some(url) = userinfo
        {
            let further = self.userinfo(&url, tokens.access_token().secret(), &subject).await?;
            if let (Some(claims), Value::Object(further)) = (claims.as_object_mut(), further) {
                for (name, value) in further {
                    claims.entry(name).or_insert(value);
                }
            }
        }
        Ok(identity(&claims, &self.config.groups_claim, &subject))
    }

    /// Further claims of a person (OpenID Connect Core, section 5.3).
    async fn userinfo(&self, url: &str, token: &str, subject: &str) -> Result<Value, ProviderError> {
        let request = Request::get(url).body(Vec::new()).map_err(|error| self.failed(&error))?;
        let mut request: HttpRequest = request;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| self.failed(&error))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let response = exchange(self.client.clone(), request).await.map_err(|error| self.failed(&error))?;
        let claims: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        // A response for another person must not be used (section 5.3.2).
        if !response.status().is_success() || claims["sub"] != subject {
            return Err(ProviderError::Identity(format!("the userinfo endpoint answered {}", response.status())));
        }
        Ok(claims)
    }
}

/// The payload of a signed token.
fn payload(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Reads the name and the groups of a person from the claims.
fn identity(claims: &Value, groups_claim: &str, subject: &str) -> Identity {
    let text = |name: &str| claims[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let name = text("email").or_else(|| text("preferred_username")).or_else(|| text("name"));
    let groups = match &claims[groups_claim] {
        Value::Array(groups) => groups.iter().filter_map(|group| group.as_str().map(str::to_owned)).collect(),
        Value::String(group) => vec![group.clone()],
        _ => Vec::new(),
    };
    let name = super::shortened(&name.unwrap_or_else(|| subject.to_owned()));
    Identity { name, groups }
}

/// Sends requests to the provider.
struct ProviderHttp(Client);

impl AsyncHttpClient<'_> for ProviderHttp {
    type Error = RequestError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, RequestError>> + Send>>;

    fn call(&self, request: HttpRequest) -> Self::Future {
        Box::pin(exchange(self.0.clone(), request))
    }
}

/// Sends a request to the provider. The operator has chosen the provider, so it may be in any named network.
async fn exchange(client: Client, request: HttpRequest) -> Result<HttpResponse, RequestError> {
    let fail = |error: &dyn std::fmt::Display| RequestError(error.to_string());
    let request = request.map(outbound::body);
    let exchange = async {
        let response =
            client.send(request, &GrantedNetworks::AllNamed, Some(TIMEOUT / 2)).await.map_err(|error| fail(&error))?;
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let part = frame.map_err(|error| fail(&error))?.into_data().unwrap_or_default();
            bytes.extend_from_slice(&part);
            if bytes.len() > MAX_BYTES {
                return Err(fail(&"its response is too large"));
            }
        }
        Ok(Response::from_parts(parts, bytes))
    };
    tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| fail(&"it did not answer in time"))?
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_has_a_name_and_groups() {
        let of = |claims: Value| {
            let Identity { name, groups } = identity(&claims, "groups", "subject");
            (name, groups.join(","))
        };
        for (claims, name, groups) in [
            (json!({ "email": "ada@example.com", "name": "Ada", "groups": ["a", 5, "b"] }), "ada@example.com", "a,b"),
            (json!({ "preferred_username": "ada", "groups": "a" }), "ada", "a"),
            (json!({ "email": "", "name": "Ada", "groups": { "a": 1 } }), "Ada", ""),
            (json!({}), "subject", ""),
        ] {
            assert_eq!(of(claims.clone()), (name.to_owned(), groups.to_owned()), "{claims}");
        }
    }
}
