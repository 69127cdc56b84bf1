//! A workspace of plugins that share one SDK and one set of event types, as `sandbus new --workspace` creates it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{at, manifest_error};
use crate::files::write_file;
use crate::sdk::Sdk;
use crate::substitutions::Substitutions;
use crate::{Error, bundled};

/// Where new plugins are, in the workspace.
const PLUGINS: &str = "plugins";

/// A workspace of plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedWorkspace {
    root: PathBuf,
    /// The directory of the event types.
    events: PathBuf,
}

impl SharedWorkspace {
    /// The workspace that a directory lies in, if it is in one.
    #[must_use]
    pub fn around(directory: &Path) -> Option<Self> {
        let directory = directory.canonicalize().ok()?;
        directory.ancestors().find_map(|root| {
            let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).ok()?.parse().ok()?;
            let events = manifest.get("workspace")?.get("metadata")?.get("sandbus")?.get("events")?.as_str()?;
            Some(Self { root: root.to_owned(), events: root.join(events) })
        })
    }

    /// Creates a workspace in a new directory, with the SDKs of all languages and an example of an event type.
    ///
    /// # Errors
    /// If the directory exists or cannot be written.
    pub fn create(directory: &Path, name: &str) -> Result<Self, Error> {
        if directory.exists() {
            return Err(Error::Exists { path: directory.to_owned() });
        }
        let fill = Substitutions::of(&[("name", name)]);
        for (path, text) in bundled::TEMPLATES {
            let Some(path) = path.strip_prefix("workspace/") else { continue };
            // Under its real name the file would affect the templates themselves.
            let path = if path == "gitignore" { ".gitignore" } else { path };
            write_file(&directory.join(path), &fill.text(text))?;
        }
        let plugins = directory.join(PLUGINS);
        fs::create_dir_all(&plugins).map_err(at(&plugins))?;
        write_file(&plugins.join(".gitkeep"), "")?;
        Sdk::ALL.iter().try_for_each(|sdk| sdk.write(&directory.join("vendor")))?;
        let root = directory.canonicalize().map_err(at(directory))?;
        let workspace = Self { events: root.join("events"), root };
        workspace.add_event_type("user.registered")?;
        // These are the links that `npm install` creates. The packages are local, so no registry is needed.
        workspace.link("@sandbus/sdk", "vendor/@sandbus/sdk")?;
        workspace.link(&format!("@{name}/events"), "events")?;
        Ok(workspace)
    }

    /// The directory of the workspace.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory for new plugins.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.root.join(PLUGINS)
    }

    /// The name of the npm package with the event types.
    pub(crate) fn npm_package(&self) -> String {
        let manifest = fs::read_to_string(self.events.join("package.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
        manifest["name"].as_str().unwrap_or("events").to_owned()
    }

    /// Adds an event type for all languages, unless there is one. Returns the name of its data's type, and whether
    /// it accepts the data of a new project's tests: it does until somebody has written its definition.
    pub(crate) fn add_event_type(&self, event_type: &str) -> Result<(String, bool), Error> {
        let mut is_open = true;
        let name = type_name(event_type);
        let fill = Substitutions::of(&[("type", event_type), ("Type", &name)]);
        for (template, text) in bundled::TEMPLATES {
            let Some(file) = template.strip_prefix("event-type/") else { continue };
            let path = self.events.join("src").join(file);
            let present = fs::read_to_string(&path).unwrap_or_default();
            let is_there =
                present.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == name);
            let definition = fill.text(text);
            if !is_there {
                write_file(&path, &format!("{present}{definition}"))?;
            } else if !present.contains(definition.trim()) {
                is_open = false;
            }
        }
        Ok((name, is_open))
    }

    /// Makes a crate a member of the cargo workspace. A pattern such as `plugins/*` would not work: cargo expects a
    /// crate in each matching directory, and `plugins` also contains projects in other languages.
    pub(crate) fn add_member(&self, directory: &Path) -> Result<(), Error> {
        let path = self.root.join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        let member = directory.strip_prefix(&self.root).unwrap_or(directory).display().to_string();
        let list = text.find("members = [").map(|start| start + "members = [".len());
        let list = list.ok_or_else(|| manifest_error(&path, "[workspace] has no list `members = [`".to_owned()))?;
        let (before, after) = text.split_at(list);
        write_file(&path, &format!("{before}\n    {},{after}", toml::Value::from(member)))
    }

    /// Links a package into `node_modules`.
    fn link(&self, package: &str, target: &str) -> Result<(), Error> {
        let link = self.root.join("node_modules").join(package);
        let parent = link.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(at(parent))?;
        std::os::unix::fs::symlink(Path::new("../..").join(target), &link).map_err(at(&link))
    }

    /// The directory of an SDK in the workspace.
    pub(crate) fn sdk(&self, sdk: Sdk) -> PathBuf {
        self.root.join("vendor").join(sdk.directory())
    }
}

/// The name of a type for an event type: `OrderPlaced` for `order.placed`. A single word gets the suffix `Event`, since
/// it could otherwise be a keyword or a name in the SDK.
fn type_name(event_type: &str) -> String {
    let words: Vec<_> =
        event_type.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let capital = |word: &&str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    let name: String = words.iter().map(capital).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("Event{name}"),
        _ if words.len() == 1 => format!("{name}Event"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Discovery, Handler, Template};

    #[test]
    fn a_type_has_a_name_of_two_words_at_least() {
        for (event_type, name) in [
            ("order.placed", "OrderPlaced"),
            ("order.line-item.added_twice", "OrderLineItemAddedTwice"),
            ("self", "SelfEvent"),
            ("2fa.passed", "Event2faPassed"),
        ] {
            assert_eq!(type_name(event_type), name);
        }
    }

    /// Plugins of all languages share the event type and the SDK; cargo takes the crates, and each project is found.
    #[test]
    fn plugins_are_added_and_share_what_is_there() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap().join("shop");
        let workspace = SharedWorkspace::create(&root, "shop").unwrap();
        assert!(SharedWorkspace::create(&root, "shop").is_err());
        assert_eq!(SharedWorkspace::around(&root.join("plugins")), Some(workspace.clone()));
        assert_eq!(SharedWorkspace::around(home.path()), None);
        let guide = fs::read_to_string(root.join("AGENTS.md")).unwrap();
        assert!(guide.starts_with("# shop\n") && guide.contains("--hold-failures"), "{guide}");
        let on = |event_type: &str| [Handler::Event(event_type.to_owned())];
        for (template, event_type) in [
            (Template::Rust, "order.placed"),
            (Template::JavaScript, "order.placed"),
            (Template::TypeScript, "user.registered"),
            (Template::Python, "order.*"),
            (Template::Go, "order.placed"),
        ] {
            let name = format!("a-{}", template.name());
            template.create(&workspace.plugins().join(&name), &name, &on(event_type)).unwrap();
        }
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        for file in ["lib.rs", "index.js", "index.d.ts", "events.py", "events.go"] {
            let text = read(&format!("events/src/{file}"));
            // In Go, the comment of a type begins with its name.
            let code = || text.lines().filter(|line| !line.starts_with("//"));
            let definitions = |name: &str| code().filter(|line| line.contains(&format!(" {name}"))).count();
            assert_eq!((definitions("OrderPlaced"), definitions("UserRegistered")), (1, 1), "{text}");
            assert!(!text.contains("{{") && !text.contains("[["), "{text}");
        }
        assert!(read("plugins/a-rust/src/lib.rs").contains("use events::OrderPlaced;"));
        assert!(read("plugins/a-js/src/plugin.js").contains("import { OrderPlaced } from \"@shop/events\";"));
        assert!(read("plugins/a-go/main.go").contains("func handle(data events.OrderPlaced, "));
        assert!(read("plugins/a-go/go.mod").contains("replace events => ../../events/src\n"));
        let python = read("plugins/a-python/src/a_python.py");
        assert!(python.contains("def handle(data):"), "a pattern has no type of its own: {python}");
        // The tests of a new project do not know what somebody has defined.
        let types = root.join("events/src/lib.rs");
        let written =
            read("events/src/lib.rs").replace("pub struct OrderPlaced {}", "pub struct OrderPlaced { id: u64 }");
        fs::write(types, written).unwrap();
        Template::Rust.create(&workspace.plugins().join("later"), "later", &on("order.placed")).unwrap();
        let later = read("plugins/later/src/lib.rs");
        assert!(later.contains("Event<serde_json::Value>") && !later.contains("use events"), "{later}");
        fs::remove_dir_all(root.join("plugins/later")).unwrap();
        fs::write(root.join("Cargo.toml"), read("Cargo.toml").replace("\n    \"plugins/later\",", "")).unwrap();
        assert!(read("plugins/a-python/pyproject.toml").contains("path = \"../../events\""));
        assert!(read("Cargo.toml").contains("\"plugins/a-rust\","));
        for plugin in ["a-rust", "a-js", "a-ts", "a-python", "a-go"] {
            assert!(!root.join("plugins").join(plugin).join("vendor").exists());
            let guide = read(&format!("plugins/{plugin}/AGENTS.md"));
            assert!(guide.contains("../../vendor/") && !guide.contains("{{"), "{guide}");
        }

        let found = Discovery::of(&root).unwrap();
        assert_eq!(found.names().collect::<Vec<_>>(), ["a-go", "a-js", "a-python", "a-rust", "a-ts"]);
        assert!(found.broken.is_empty(), "{:?}", found.broken);
        let skipped: Vec<_> = found.skipped.iter().map(|skipped| skipped.path.strip_prefix(&root).unwrap()).collect();
        assert!(!skipped.contains(&Path::new("events")), "{skipped:?}");
        let go = found.projects.iter().find(|project| project.name == "a-go").unwrap();
        assert_eq!(go.path_dependencies, [root.join("events/src")]);
        let rust = found.projects.iter().find(|project| project.name == "a-rust").unwrap();
        assert!(rust.path_dependencies.contains(&root.join("events")), "{:?}", rust.path_dependencies);
        for name in ["a-js", "a-python"] {
            let project = found.projects.iter().find(|project| project.name == name).unwrap();
            assert!(
                project.path_dependencies.contains(&root.join("events")),
                "{name}: {:?}",
                project.path_dependencies
            );
        }
    }
}
