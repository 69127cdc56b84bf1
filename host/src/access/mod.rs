//! Who may use the admin API: tokens with roles, and the audit log of the changes that callers made.
//!
//! Tokens and the audit log are files of their own in the data directory. A command can create the first token without
//! a running host, and both can be checked without the store.

mod audit;
mod role;
mod token;
mod token_store;

pub use audit::{AuditEntry, AuditError, AuditLog, AuditOutcome, AuditPage, Chain, ChainFault, verify};
pub use role::{Permission, Role};
pub use token::{NewToken, NewTokenError, Secret, TOKEN_PREFIX, TokenId, TokenRecord};
pub use token_store::{RejectedToken, TokenStore, TokenStoreError};
