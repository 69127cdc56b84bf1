//! The purposes of builds.

/// How a build balances its own duration against the artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildProfile {
    /// A fast build, with line tables for backtraces.
    Quick,
    /// A build for distribution.
    Release,
}
