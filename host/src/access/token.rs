//! Tokens: a secret that only its holder knows, and a record with its hash.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::role::Role;
use crate::clock::Timestamp;
use crate::files::sealed::hex;
use crate::subscription::{OPERATOR, is_valid_name};

/// The beginning of every token, so that secret scanners find leaked tokens.
pub const TOKEN_PREFIX: &str = "sbt_";
/// The length of an id: eight hexadecimal digits.
const ID_LENGTH: usize = 8;
/// The length of the random part: 256 bits, which nobody can guess. A plain hash of it is therefore enough.
const RANDOM_BYTES: usize = 32;
/// The maximum length of a token. Longer texts are not compared.
const MAX_LENGTH: usize = 128;

/// The public part of a token: it names the record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

/// The error for a text that is not the id of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a token has {ID_LENGTH} hexadecimal digits; `sandbus token list` shows the ids")]
pub struct TokenIdError;

impl FromStr for TokenId {
    type Err = TokenIdError;

    fn from_str(text: &str) -> Result<Self, TokenIdError> {
        let is_id = text.len() == ID_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then(|| Self(text.to_owned())).ok_or(TokenIdError)
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenIdError;

    fn try_from(text: String) -> Result<Self, TokenIdError> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A token as its holder has it. It is shown once, when it is created.
pub struct Secret {
    id: TokenId,
    text: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.id)
    }
}

impl Secret {
    /// Makes a random token.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; ID_LENGTH / 2 + RANDOM_BYTES];
        getrandom::fill(&mut bytes)?;
        let (id, random) = bytes.split_at(ID_LENGTH / 2);
        let id = hex(id);
        let text = format!("{TOKEN_PREFIX}{id}_{}", BASE64_URL_SAFE_NO_PAD.encode(random));
        Ok(Self { id: TokenId(id), text })
    }

    /// Reads a token that a client presents. None if it does not have the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, random) = text.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
        let is_token =
            text.len() <= MAX_LENGTH && !random.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then_some(Self { id: id.parse().ok()?, text: text.to_owned() })
    }

    /// The public part.
    #[must_use]
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The whole token.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub(super) fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

/// The SHA-256 hash of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    /// Compares in constant time, so that the time does not tell how much of a guess is right.
    pub(super) fn is(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |difference, (one, other)| difference | (one ^ other));
        std::hint::black_box(difference) == 0
    }
}

impl Serialize for TokenHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a hash has 32 bytes in base64url"))
    }
}

/// What a new token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// A description for people.
    pub name: Option<String>,
    /// The role.
    pub role: Role,
    /// The only plugin that it may see and change. All plugins if there is none.
    pub plugin: Option<String>,
    /// Whether payloads are hidden: the data of events, and the values of plugins' state.
    pub hide_payloads: bool,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Who creates it.
    pub created_by: String,
}

/// A token cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewTokenError {
    /// The description cannot be shown.
    #[error("the name must have 1 to {MAX_NAME_CHARACTERS} printable characters")]
    Name,
    /// No plugin can have the name.
    #[error("`{0}` is not the name of a plugin")]
    Plugin(String),
    /// Administrators cannot be restricted.
    #[error("a token with the role admin cannot be restricted, because it can create others")]
    RestrictedAdmin,
    /// The validity is zero, or longer than a date can express.
    #[error("the validity of the token must be longer than zero and shorter than {} years", MAX_VALIDITY.as_secs() / YEAR_SECONDS)]
    Expiry,
}

/// The largest number of characters of a description.
const MAX_NAME_CHARACTERS: usize = 100;
const YEAR_SECONDS: u64 = 365 * 24 * 3600;
/// The longest validity of a token that expires.
const MAX_VALIDITY: Duration = Duration::from_secs(100 * YEAR_SECONDS);

impl NewToken {
    /// Checks what a new token may do. `expires_in` begins now.
    ///
    /// # Errors
    /// If the parts are malformed or contradict each other.
    pub fn checked(self, expires_in: Option<Duration>, now: Timestamp) -> Result<Self, NewTokenError> {
        let is_text = |name: &String| {
            (1..=MAX_NAME_CHARACTERS).contains(&name.chars().count()) && !name.chars().any(char::is_control)
        };
        if !self.name.as_ref().is_none_or(is_text) {
            return Err(NewTokenError::Name);
        }
        if let Some(plugin) = self.plugin.as_ref().filter(|plugin| !is_valid_name(plugin) || *plugin == OPERATOR) {
            return Err(NewTokenError::Plugin(plugin.clone()));
        }
        if self.role == Role::Admin && (self.plugin.is_some() || self.hide_payloads) {
            return Err(NewTokenError::RestrictedAdmin);
        }
        if expires_in.is_some_and(|time| time.is_zero() || time > MAX_VALIDITY) {
            return Err(NewTokenError::Expiry);
        }
        Ok(Self { expires_at: expires_in.map(|time| now.after(time)), ..self })
    }
}

/// A token without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// The public part.
    pub id: TokenId,
    /// A description for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role.
    pub role: Role,
    /// The only plugin that it may see and change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Whether payloads are hidden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hide_payloads: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    pub(super) hash: TokenHash,
}

impl TokenRecord {
    pub(super) fn new(token: NewToken, secret: &Secret, created_at: Timestamp) -> Self {
        let NewToken { name, role, plugin, hide_payloads, expires_at, created_by } = token;
        let (id, hash) = (secret.id.clone(), secret.hash());
        Self { id, name, role, plugin, hide_payloads, created_at, created_by, expires_at, hash }
    }

    /// The creator of tokens that a login has created.
    pub const LOGIN: &str = "login";

    /// Whether a login has created the token.
    #[must_use]
    pub fn is_login(&self) -> bool {
        self.created_by == Self::LOGIN
    }

    /// Whether the token is no longer valid.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| now >= expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_nothing_else_is_one() {
        let secret = Secret::random().unwrap();
        let read = Secret::parse(secret.expose()).unwrap();
        assert_eq!(read.id(), secret.id());
        assert!(read.hash().is(&secret.hash()));
        assert!(!Secret::random().unwrap().hash().is(&secret.hash()));
        assert!(!format!("{secret:?}").contains(secret.expose()));
        for wrong in
            ["", "sbt_", "sbt_12345678", "sbt_12345678_", "sbt_1234567g_x", "x", "SBT_12345678_x", "sbt_12345678_a b"]
        {
            assert!(Secret::parse(wrong).is_none(), "{wrong}");
        }
        assert!(Secret::parse(&format!("sbt_12345678_{}", "x".repeat(MAX_LENGTH))).is_none());
    }

    #[test]
    fn every_bit_of_a_hash_counts() {
        let hash = TokenHash([7; 32]);
        assert!(hash.is(&TokenHash([7; 32])));
        for index in 0..32 {
            for bit in 0..8 {
                let mut other = [7; 32];
                other[index] ^= 1 << bit;
                assert!(!hash.is(&TokenHash(other)));
            }
        }
    }
}
