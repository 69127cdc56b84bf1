//! New projects: a small plugin with tests, from the templates in `guest-sdk/templates`, and the SDK that it uses.

use std::path::Path;

use crate::error::at;
use crate::files::write_file;
use crate::handler::{Handler, example};
use crate::paths::relative;
use crate::sdk::{GO_VENDOR, Sdk, SdkPlace};
use crate::shared_workspace::SharedWorkspace;
use crate::substitutions::Substitutions;
use crate::{Error, bundled, rust_sdk};

/// The language of a new project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Rust.
    Rust,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// Python.
    Python,
    /// Go.
    Go,
}

impl Template {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::TypeScript => "ts",
            Self::Python => "python",
            Self::Go => "go",
        }
    }

    /// The language's name in the project's guide.
    fn language(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Python => "Python",
            Self::Go => "Go",
        }
    }

    /// The command that runs a project's unit tests. The root of a shared workspace is given by its path from the
    /// project.
    #[must_use]
    pub fn test_command(self, shared: Option<&str>) -> String {
        match (self, shared) {
            (Self::Rust, _) => "cargo test".to_owned(),
            (Self::Go, _) => "go test".to_owned(),
            (Self::JavaScript | Self::TypeScript, _) => "npm install && npm test".to_owned(),
            (Self::Python, None) => "PYTHONPATH=src:vendor python3 -m unittest discover tests".to_owned(),
            (Self::Python, Some(root)) => {
                format!("PYTHONPATH=src:{root}/events/src:{root}/vendor python3 -m unittest discover tests")
            }
        }
    }

    fn sdk(self) -> Sdk {
        match self {
            Self::Rust => Sdk::Rust,
            Self::JavaScript | Self::TypeScript => Sdk::JavaScript,
            Self::Python => Sdk::Python,
            Self::Go => Sdk::Go,
        }
    }

    /// The file with a project's handlers.
    fn source(self, name: &str) -> String {
        match self {
            Self::Rust => "src/lib.rs".to_owned(),
            Self::JavaScript => "src/plugin.js".to_owned(),
            Self::TypeScript => "src/plugin.ts".to_owned(),
            Self::Python => format!("src/{}.py", name.replace('-', "_")),
            Self::Go => "main.go".to_owned(),
        }
    }

    /// The values of the project's guide, `AGENTS.md`.
    fn guide(self, name: &str, handlers: &[Handler], sdk: &str, shared: Option<&str>) -> Vec<(&'static str, String)> {
        let (language, test) = (self.language().to_owned(), self.test_command(shared));
        let patterns = handlers.iter().filter_map(|handler| match handler {
            Handler::Event(pattern) => Some(example(pattern)),
            Handler::Route(..) => None,
        });
        let sample = patterns.into_iter().next().unwrap_or_else(|| "order.placed".to_owned());
        vec![
            ("language", language),
            ("test", test),
            ("source", self.source(name)),
            ("api", self.api(sdk)),
            ("sample", sample),
        ]
    }

    /// Where the API of an SDK is described.
    fn api(self, sdk: &str) -> String {
        match self {
            Self::Rust => format!("`{sdk}/src/lib.rs`, or `cargo doc -p sandbus-sdk --open`"),
            Self::JavaScript | Self::TypeScript => {
                format!("`{sdk}/src/index.d.ts`; `client.d.ts` and `testing.d.ts` next to it")
            }
            Self::Python => {
                format!("the docstrings in `{sdk}`, listed in `__init__.py`; `state.py`, `client.py` and `testing.py`")
            }
            Self::Go => {
                format!(
                    "`{sdk}/sandbus.go`, or `go doc sandbus`; the packages `state`, `config`, `client` and `sandbustest`"
                )
            }
        }
    }

    /// Creates a project in a new directory. Its name is the plugin's: lower-case letters, digits and `-`. A crate
    /// below a cargo workspace becomes a member if the workspace's patterns include it. In a shared workspace, the
    /// project uses the SDK and the event types of the workspace.
    ///
    /// # Errors
    /// If the directory exists or cannot be written, or if the workspace does not accept another member.
    pub fn create(self, directory: &Path, name: &str, handlers: &[Handler]) -> Result<(), Error> {
        if directory.exists() {
            return Err(Error::Exists { path: directory.to_owned() });
        }
        let fill = match SharedWorkspace::around(parent(directory)) {
            Some(workspace) => self.join(&workspace, directory, name, handlers)?,
            None => {
                let sdk = self.add_sdk(directory, name)?;
                let guide = self.guide(name, handlers, &sdk.path, None);
                let mut fill = Substitutions::new(name, handlers, sdk);
                fill.extend(guide);
                fill
            }
        };
        let (own, any) = (format!("{}/", self.name()), "any/");
        for (path, text) in bundled::TEMPLATES {
            let Some(path) = path.strip_prefix(&own).or_else(|| path.strip_prefix(any)) else { continue };
            // Under its real name the file would affect the templates themselves.
            let path = if path == "gitignore" { ".gitignore".to_owned() } else { fill.values(path) };
            write_file(&directory.join(path), &fill.text(text))?;
        }
        Ok(())
    }

    /// Copies the SDK to where the project finds it.
    fn add_sdk(self, directory: &Path, name: &str) -> Result<SdkPlace, Error> {
        if self == Self::Rust {
            return rust_sdk::add_sdk(directory, name);
        }
        let vendor = if self == Self::Go { GO_VENDOR } else { "vendor" };
        self.sdk().write(&directory.join(vendor))?;
        Ok(SdkPlace { path: format!("{vendor}/{}", self.sdk().directory()), is_own: true })
    }

    /// Makes a project a member of a shared workspace.
    fn join(
        self,
        workspace: &SharedWorkspace,
        directory: &Path,
        name: &str,
        handlers: &[Handler],
    ) -> Result<Substitutions, Error> {
        std::fs::create_dir_all(directory).map_err(at(directory))?;
        let absolute = directory.canonicalize().map_err(at(directory))?;
        let path = |to: &Path| relative(&absolute, to).to_string_lossy().into_owned();
        let (root, sdk) = (path(workspace.root()), path(&workspace.sdk(self.sdk())));
        let guide = self.guide(name, handlers, &sdk, Some(&root));
        let mut fill = Substitutions::new(name, handlers, SdkPlace { path: sdk, is_own: false });
        let event_type = handlers.iter().find_map(Handler::event_type);
        fill.is_shared = true;
        if let Some(event_type) = event_type {
            let (data_type, is_open) = workspace.add_event_type(event_type)?;
            fill.set("Type", data_type);
            fill.is_typed = is_open;
        }
        fill.set("events", workspace.npm_package());
        fill.extend(guide);
        fill.set("root", root);
        if self == Self::Rust {
            workspace.add_member(&absolute)?;
        }
        Ok(fill)
    }
}

fn parent(directory: &Path) -> &Path {
    directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The manifest of a new crate outside a workspace.
pub(crate) fn crate_manifest(name: &str, sdk: &str) -> String {
    let template = bundled::TEMPLATES.iter().find(|(path, _)| *path == "rust/Cargo.toml").map_or("", |(_, text)| text);
    Substitutions::new(name, &[], SdkPlace { path: sdk.to_owned(), is_own: true }).text(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new project must not reject the events of a host that it is added to.
    #[test]
    fn the_handler_of_a_new_project_accepts_any_data() {
        for template in [Template::Rust, Template::JavaScript, Template::TypeScript, Template::Python, Template::Go] {
            for pattern in ["order.placed", "order.>"] {
                let home = tempfile::tempdir().unwrap();
                let project = home.path().join("audit");
                template.create(&project, "audit", &[Handler::Event(pattern.to_owned())]).unwrap();
                let source = std::fs::read_to_string(project.join(template.source("audit"))).unwrap();
                for restriction in ["required", "{ schema", "\nstruct ", "@dataclass", "data: D"] {
                    assert!(!source.contains(restriction), "{restriction}: {source}");
                }
            }
        }
    }

    /// A project's guide names what the project has, and leaves no placeholder.
    #[test]
    fn every_project_has_a_guide_that_is_filled() {
        let handlers = [Handler::Event("user.registered".into())];
        for template in [Template::Rust, Template::JavaScript, Template::TypeScript, Template::Python, Template::Go] {
            let home = tempfile::tempdir().unwrap();
            let project = home.path().join("order-mailer");
            template.create(&project, "order-mailer", &handlers).unwrap();
            let guide = std::fs::read_to_string(project.join("AGENTS.md")).unwrap();
            assert!(!guide.contains("{{"), "{guide}");
            let source = template.source("order-mailer");
            assert!(guide.contains(&source) && project.join(&source).is_file(), "{source}: {guide}");
            assert!(guide.contains(&template.test_command(None)), "{guide}");
            // It says how to run the plugin, and how to write it.
            for part in ["--crash", "--record", "--junit", "--hold-failures", "[[scenario.step]]", "docs/scenarios.md"]
            {
                assert!(guide.contains(part), "{part}: {guide}");
            }
            assert!(guide.contains("sandbus publish user.registered "), "{guide}");
            let (api, _) = guide.split_once(": the API").unwrap();
            let path = api.rsplit("- ").next().unwrap().split('`').nth(1).unwrap();
            assert!(project.join(path).exists(), "{path}: {guide}");
            let (_, sdk) = guide.split_once("the SDK is in `").unwrap();
            assert!(project.join(sdk.split_once('`').unwrap().0).is_dir(), "{guide}");
        }
    }
}
