//! The bus on PostgreSQL: the engine on a database that a team already runs.
//!
//! All of the bus is in one schema of the database, so that a host keeps nothing of it on its own disk. One host at a
//! time uses the schema. Its row in the table `hosts` is its lease, its fence and the receipt of its commits: each
//! transaction updates it first ([`lease`]). A group of frequent changes takes two round trips, however many changes it
//! has ([`writer`]).

mod batch;
mod connection;
mod error;
mod lease;
mod open;
mod plugin_files;
mod readers;
mod rows;
mod schema;
mod server;
mod session;
mod tls;
mod transfer;
mod url;
mod writer;

pub(in crate::bus) use open::{ClusterSchema, open};
pub use plugin_files::{PluginFileRow, PluginFiles};
pub(in crate::bus) use transfer::PostgresTables;
pub use url::{PostgresUrl, PostgresUrlError};
