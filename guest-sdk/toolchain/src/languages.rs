//! Builds the projects of each language with its own tools.

mod componentize;
pub(crate) mod go;
pub(crate) mod javascript;
pub(crate) mod prepared;
pub(crate) mod python;
pub(crate) mod rust;
