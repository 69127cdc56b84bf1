//! The embedded bus: the engine on one SQLite file in the data directory.

mod checkpoint;
mod copy;
mod error;
#[cfg(any(test, feature = "conformance"))]
mod fixture;
mod foreign;
mod integrity;
mod open;
mod readers;
mod rows;
mod schema;
mod transfer;
mod writer;

#[cfg(test)]
mod tests;

pub use copy::{StoreCopy, check_store_copy, copy_closed_store, copy_store, has_store, new_copy_file};
#[cfg(any(test, feature = "conformance"))]
pub use fixture::EmbeddedFixture;
pub use open::open;
pub(in crate::bus) use transfer::EmbeddedTables;
