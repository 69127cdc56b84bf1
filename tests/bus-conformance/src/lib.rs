//! The conformance suite from outside the host: on PostgreSQL, and on buses that break one promise each, to prove that
//! the suite notices.
//!
//! Each of these is the embedded bus behind a wrapper with one fault. They use nothing of the host that a bus in a
//! crate of its own could not use.

mod bus;
mod fault;
mod feed;
mod fixture;
mod postgres;
mod state;

pub use fault::Fault;
pub use fixture::FaultyFixture;
pub use postgres::PostgresFixture;
