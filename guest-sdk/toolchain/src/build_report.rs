//! The result of a build.

use crate::artifact::Artifact;

/// What a build has made and said.
#[derive(Clone, Debug, Default)]
pub struct BuildReport {
    /// The built files, including those that were up to date.
    pub artifacts: Vec<Artifact>,
    /// The compiler's messages as it renders them, with colours if asked for.
    pub messages: Vec<String>,
    /// Whether the build succeeded.
    pub succeeded: bool,
}

impl BuildReport {
    /// A build that failed with a message.
    pub(crate) fn failed(message: String) -> Self {
        Self { artifacts: Vec::new(), messages: vec![message], succeeded: false }
    }

    /// A build without a message.
    pub(crate) fn made(artifact: Artifact) -> Self {
        Self { artifacts: vec![artifact], messages: Vec::new(), succeeded: true }
    }
}
