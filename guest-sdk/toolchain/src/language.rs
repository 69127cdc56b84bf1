//! The languages of plugins, and their manifests.

/// A language of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Rust: a `Cargo.toml` whose library is a `cdylib`.
    Rust,
    /// JavaScript or TypeScript: a `package.json`.
    JavaScript,
    /// Python: a `pyproject.toml`.
    Python,
    /// Go: a `go.mod` that requires the SDK.
    Go,
}

impl Language {
    pub(crate) const ALL: [Self; 4] = [Self::Rust, Self::JavaScript, Self::Python, Self::Go];

    /// The manifest's file name.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::JavaScript => "package.json",
            Self::Python => "pyproject.toml",
            Self::Go => "go.mod",
        }
    }
}

/// The file names of manifests.
pub const MANIFESTS: [&str; 4] = ["Cargo.toml", "package.json", "pyproject.toml", "go.mod"];
