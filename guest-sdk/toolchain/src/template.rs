//! New projects: a small plugin with tests, from the templates in `guest-sdk/templates`, and the SDK that it uses.
//!
//! Placeholders such as `{{name}}` in a template are replaced. Lines from `[[on]]` or `[[route]]` to `[[end]]` are for
//! projects with such a handler, and lines from `[[alone]]` for crates outside a workspace.

use std::path::Path;

use crate::rust_sdk::Sdk;
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
}

/// The handler of a new project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Handles events of a type, or of the types that match a pattern.
    Event(String),
    /// Handles requests with a method and a path.
    Route(String, String),
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
        }
    }

    /// The language's name in the project's guide.
    fn language(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Python => "Python",
        }
    }

    /// The command that runs a project's unit tests.
    #[must_use]
    pub fn test_command(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::JavaScript | Self::TypeScript => "npm install && npm test",
            Self::Python => "PYTHONPATH=src:vendor python3 -m unittest discover tests",
        }
    }

    /// The file with a project's handlers.
    fn source(self, name: &str) -> String {
        match self {
            Self::Rust => "src/lib.rs".to_owned(),
            Self::JavaScript => "src/plugin.js".to_owned(),
            Self::TypeScript => "src/plugin.ts".to_owned(),
            Self::Python => format!("src/{}.py", name.replace('-', "_")),
        }
    }

    /// The values of the project's guide, `AGENTS.md`.
    fn guide(self, name: &str) -> Vec<(&'static str, String)> {
        let sdk = match self {
            // The path from a crate to its SDK depends on the crate's workspace.
            Self::Rust => None,
            Self::JavaScript | Self::TypeScript => Some("vendor/@sandbus/sdk"),
            Self::Python => Some("vendor/sandbus"),
        };
        let (language, test) = (self.language().to_owned(), self.test_command().to_owned());
        let mut values = vec![("language", language), ("test", test), ("source", self.source(name))];
        values.extend(sdk.map(|sdk| ("sdk", sdk.to_owned())));
        values
    }

    /// Creates a project in a new directory. Its name is the plugin's: lower-case letters, digits and `-`. A crate
    /// below a cargo workspace becomes a member if the workspace's patterns include it.
    ///
    /// # Errors
    /// If the directory exists or cannot be written, or if the workspace does not accept another member.
    pub fn create(self, directory: &Path, name: &str, handlers: &[Handler]) -> Result<(), Error> {
        if directory.exists() {
            return Err(Error::Exists { path: directory.to_owned() });
        }
        let sdk = self.add_sdk(directory, name)?;
        let mut fill = Substitutions::new(name, handlers, sdk);
        fill.values.extend(self.guide(name));
        let (own, any) = (format!("{}/", self.name()), "any/");
        for (path, text) in bundled::TEMPLATES {
            let Some(path) = path.strip_prefix(&own).or_else(|| path.strip_prefix(any)) else { continue };
            // Under its real name the file would affect the templates themselves.
            let path = if path == "gitignore" { ".gitignore".to_owned() } else { fill.values(path) };
            bundled::write_file(&directory.join(path), &fill.text(text))?;
        }
        Ok(())
    }

    /// Copies the SDK to where the project finds it. Returns its path for a crate.
    fn add_sdk(self, directory: &Path, name: &str) -> Result<Option<Sdk>, Error> {
        let vendor = directory.join("vendor");
        match self {
            Self::Rust => return rust_sdk::add_sdk(directory, name).map(Some),
            Self::JavaScript | Self::TypeScript => bundled::write(bundled::JAVASCRIPT, &vendor.join("@sandbus/sdk"))?,
            Self::Python => bundled::write(bundled::PYTHON, &vendor)?,
        }
        Ok(None)
    }
}

/// The values of a template's placeholders.
struct Substitutions {
    values: Vec<(&'static str, String)>,
    on: bool,
    route: bool,
    is_alone: bool,
}

impl Substitutions {
    fn new(name: &str, handlers: &[Handler], sdk: Option<Sdk>) -> Self {
        let mut values = vec![("name", name.to_owned()), ("module", name.replace('-', "_"))];
        let is_alone = sdk.as_ref().is_none_or(|sdk| sdk.is_own);
        values.extend(sdk.map(|sdk| ("sdk", sdk.path)));
        let mut fill = Self { values: Vec::new(), on: false, route: false, is_alone };
        for handler in handlers {
            match handler {
                Handler::Event(pattern) => {
                    fill.on = true;
                    // An event type that matches the pattern, for the test.
                    values.push(("example", pattern.replace('*', "any").replace('>', "all")));
                    values.push(("type", pattern.clone()));
                }
                Handler::Route(method, path) => {
                    fill.route = true;
                    let target = path.replace("{*", "").replace(['{', '}'], "");
                    values.push(("route", format!("{method} {path}")));
                    values.push(("target", format!("{method} {target}")));
                    values.push(("method", method.clone()));
                    values.push(("path", path.clone()));
                }
            }
        }
        Self { values, ..fill }
    }

    fn text(&self, template: &str) -> String {
        let mut text = String::new();
        let mut wanted = true;
        for line in template.lines() {
            match line {
                "[[on]]" => wanted = self.on,
                "[[route]]" => wanted = self.route,
                "[[alone]]" => wanted = self.is_alone,
                "[[end]]" => wanted = true,
                line if wanted => {
                    text.push_str(&self.values(line));
                    text.push('\n');
                }
                _ => {}
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    fn values(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str =
        "a {{name}}\n[[on]]\non {{type}} {{example}}\n[[end]]\n[[route]]\n{{route}} at {{target}}\n[[end]]\n";

    #[test]
    fn a_template_has_what_the_project_handles() {
        let both = [Handler::Event("user.*".into()), Handler::Route("GET".into(), "/u/{id}/{*rest}".into())];
        let text = Substitutions::new("a-b", &both, None).text(TEMPLATE);
        assert_eq!(text, "a a-b\non user.* user.any\nGET /u/{id}/{*rest} at GET /u/id/rest\n");
        assert_eq!(Substitutions::new("a-b", &both[..1], None).text(TEMPLATE), "a a-b\non user.* user.any\n");
        assert_eq!(Substitutions::new("a-b", &[], None).values("{{module}}.py"), "a_b.py");
    }

    /// A project's guide names what the project has, and leaves no placeholder.
    #[test]
    fn every_project_has_a_guide_that_is_filled() {
        let handlers = [Handler::Event("user.registered".into())];
        for template in [Template::Rust, Template::JavaScript, Template::TypeScript, Template::Python] {
            let home = tempfile::tempdir().unwrap();
            let project = home.path().join("order-mailer");
            template.create(&project, "order-mailer", &handlers).unwrap();
            let guide = std::fs::read_to_string(project.join("AGENTS.md")).unwrap();
            assert!(!guide.contains("{{"), "{guide}");
            let source = template.source("order-mailer");
            assert!(guide.contains(&source) && project.join(&source).is_file(), "{source}: {guide}");
            assert!(guide.contains(template.test_command()), "{guide}");
            let (_, sdk) = guide.split_once("the SDK is in `").unwrap();
            assert!(project.join(sdk.split_once('`').unwrap().0).is_dir(), "{guide}");
        }
    }
}
