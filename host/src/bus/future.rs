//! The futures that the bus's traits return.

use std::pin::Pin;

/// A boxed future. The bus's traits are used as trait objects, whose methods cannot be `async`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
