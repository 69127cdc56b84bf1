//! The directories of tools within projects.

/// Names of directories that tools write. They are not searched, so a project must not have such a name.
pub(crate) const TOOL_DIRECTORIES: [&str; 9] = [
    "node_modules",
    "bower_components",
    "target",
    "dist",
    "vendor",
    "third_party",
    "venv",
    "site-packages",
    "__pycache__",
];
