//! Tokens, and the audit log.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, schemas};

/// What a caller may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AccessView {
    /// The role: `view`, `operate`, `deploy` or `admin`.
    pub role: String,
    /// The only plugin that the caller may see and change; null for all.
    pub plugin: Option<String>,
    /// The operations that the role permits, by their ids in this document.
    pub operations: Vec<String>,
    /// Whether payloads are hidden from the caller.
    pub hide_payloads: bool,
    /// The caller's token; null if it has none.
    pub token: Option<TokenView>,
    /// Whether callers need tokens.
    pub tokens_required: bool,
}

/// How people can log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LoginMethodsView {
    /// Whether people can log in through an OpenID provider, at `/v1/login`. Everybody can use a token.
    pub openid: bool,
}

/// A token without its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TokenView {
    /// Its public part.
    pub id: String,
    /// Its description; null if it has none.
    pub name: Option<String>,
    /// The role: `view`, `operate`, `deploy` or `admin`.
    pub role: String,
    /// The only plugin that it may see and change; null for all.
    pub plugin: Option<String>,
    /// Whether payloads are hidden: the data of events, and the values of plugins' state.
    pub hide_payloads: bool,
    /// When it was created, in RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Who created it.
    pub created_by: String,
    /// When it expires, in RFC 3339; null if it does not.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// Whether it has expired.
    pub expired: bool,
}

/// The tokens, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<TokenView>,
}

/// A token to create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// A description for people, of at most 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role: `view`, `operate`, `deploy` or `admin`.
    pub role: String,
    /// The only plugin that it may see and change. All by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Whether payloads are hidden: the data of events, and the values of plugins' state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hide_payloads: bool,
    /// How long it is valid, such as `90d`. Without limit by default.
    #[schema(value_type = Option<schemas::Duration>)]
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Duration>,
}

/// A new token with its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CreatedTokenView {
    /// The whole token. No other response contains it.
    pub secret: String,
    /// The rest.
    pub token: TokenView,
}

/// The entries of the audit log to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AuditLogQuery {
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the audit log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditLogPage {
    /// The entries.
    pub entries: Vec<AuditEntryView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for AuditLogPage {
    const PATH: &'static str = "audit";
    const ITEMS: &'static str = "entries";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// An entry of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditEntryView {
    /// Its number, from 1.
    pub sequence: u64,
    /// When it was written, in RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who asked for the change: a token, or `local` for a caller that needed none.
    pub actor: String,
    /// The operation, by its id in the OpenAPI document.
    pub operation: String,
    /// The method, the path and the query of the request.
    pub request: String,
    /// `begun`, `ended` or `denied`. If a change has begun and not ended, the host stopped during it.
    pub outcome: String,
    /// `ended`: the number of the entry of its beginning; else null.
    pub begun: Option<u64>,
    /// `ended`, `denied`: the status of the response; else null.
    pub status: Option<u16>,
    /// The hash of this entry and of all before it.
    pub hash: String,
}
