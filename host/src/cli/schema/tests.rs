//! A schema and the parser of the same file agree.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use sandbus_toolchain::{Handler, SharedWorkspace, Template};
use serde_json::Value;

use super::File;
use crate::config::{Config, Overrides};
use crate::documented::{blocks, with_commented_keys};
use crate::plugin::{CanaryRule, Sidecar};
use crate::scenario::ScenarioFile;
use crate::toml_file;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl File {
    const ALL: [Self; 3] = [Self::Config, Self::Sidecar, Self::Scenario];

    fn stored(self) -> PathBuf {
        let name = match self {
            Self::Config => "config",
            Self::Sidecar => "sidecar",
            Self::Scenario => "scenario",
        };
        root().join(format!("docs/schemas/{name}.json"))
    }

    fn validator(self) -> Validator {
        jsonschema::draft7::new(&self.schema()).unwrap()
    }

    /// Whether the program takes a text as this kind of file.
    fn parses(self, text: &str) -> Result<(), String> {
        match self {
            Self::Config => {
                let home = tempfile::tempdir().unwrap();
                let file = home.path().join("sandbus.toml");
                std::fs::write(&file, text).unwrap();
                let overrides = Overrides { config: Some(file), ..Overrides::default() };
                Config::load(&overrides).map(drop).map_err(|error| format!("{error:#}"))
            }
            Self::Sidecar => Sidecar::parse(text).map(drop),
            Self::Scenario => {
                let file = toml_file::parse::<ScenarioFile>(text).map_err(|error| error.to_string())?;
                let steps = file.scenarios.iter().flat_map(|scenario| scenario.steps.iter().enumerate());
                let parse = |(index, step): (usize, &crate::scenario::StepSpec)| {
                    step.parse(index + 1, Path::new(".")).map(drop).map_err(|error| error.to_string())
                };
                steps.into_iter().try_for_each(parse)
            }
        }
    }
}

/// A document as editors see it. None if it is not TOML.
fn document(text: &str) -> Option<Value> {
    toml::from_str(text).ok()
}

fn faults(validator: &Validator, text: &str) -> Vec<String> {
    let document = document(text).unwrap_or_else(|| panic!("not TOML:\n{text}"));
    validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// With `SANDBUS_BLESS=1` the files are written.
#[test]
fn the_schemas_in_docs_are_current() {
    for file in File::ALL {
        let (path, current) = (file.stored(), format!("{}\n", file.text().unwrap()));
        if std::env::var_os("SANDBUS_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &current).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == current, "{} is stale; run this test with SANDBUS_BLESS=1", path.display());
        assert!(jsonschema::meta::is_valid(&file.schema()), "{file:?}");
    }
}

/// All TOML blocks of the documentation, with the keys that stand there as comments, and where they are.
fn documented() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["", "docs", "guest-sdk", "guest-sdk/templates/any", "guest-sdk/templates/workspace"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let page = std::fs::read_to_string(&path).unwrap();
            for block in blocks(&page).into_iter().filter(|block| block.info.starts_with("toml")) {
                let place = format!("{} {}", path.display(), block.info);
                let uncommented = with_commented_keys(&block.text);
                if document(&uncommented).is_some() {
                    found.push((place.clone(), uncommented));
                }
                found.push((place, block.text));
            }
        }
    }
    found
}

/// The scenario files below a directory.
fn scenario_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules", "vendor"].contains(&name.as_str()) {
            scenario_files(&path, found);
        } else if name.ends_with(".toml") && directory.ends_with("tests") && name != "Cargo.toml" {
            found.push(path);
        }
    }
}

#[test]
fn every_example_of_the_documentation_is_valid_for_the_parser_and_the_schema_of_one_kind() {
    let validators = File::ALL.map(|file| (file, file.validator()));
    let mut count = 0;
    for (place, text) in documented() {
        // A section of pyproject.toml.
        if text.starts_with("[tool.") {
            continue;
        }
        let accepted = |(file, validator): &&(File, Validator)| {
            let (parsed, faults) = (file.parses(&text), faults(validator, &text));
            assert_eq!(parsed.is_ok(), faults.is_empty(), "{place} as {file:?}: {parsed:?} {faults:#?}\n{text}");
            parsed.is_ok()
        };
        assert!(validators.iter().any(|pair| accepted(&pair)), "{place}\n{text}");
        count += 1;
    }
    assert!(count >= 20, "only {count} examples were found");
}

#[test]
fn every_scenario_file_of_the_repository_is_valid() {
    let validator = File::Scenario.validator();
    let home = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let handlers = [Handler::Event("order.placed".to_owned()), Handler::Route("GET".to_owned(), "/orders".to_owned())];
    Template::Python.create(&home.path().join("orders"), "orders", &handlers).unwrap();
    let workspace = SharedWorkspace::create(&home.path().join("shop"), "shop").unwrap();
    Template::JavaScript.create(&workspace.plugins().join("stock"), "stock", &handlers).unwrap();
    scenario_files(home.path(), &mut files);
    assert_eq!(files.len(), 2, "{files:?}");
    scenario_files(&root().join("plugins"), &mut files);
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        ScenarioFile::read(&file).unwrap();
        // The projects have the schema in their SDKs.
        if file.starts_with(home.path()) {
            let schema = text.lines().next().unwrap().strip_prefix("#:schema ").unwrap();
            let schema = std::fs::read_to_string(file.parent().unwrap().join(schema)).unwrap();
            assert_eq!(schema.trim_end(), File::Scenario.text().unwrap(), "{}", file.display());
        }
        assert_eq!(faults(&validator, &text), [""; 0], "{}", file.display());
    }
}

#[test]
fn what_the_parser_refuses_the_schema_refuses_too() {
    for (file, text) in [
        // Unknown keys.
        (File::Config, "liste = \"127.0.0.1:1\""),
        (File::Config, "[http]\nmax_body = 5"),
        (File::Config, "[ingress.tls]\ncertificate = \"a\"\nkey = \"b\"\nca = \"c\""),
        (File::Sidecar, "[limits]\nsecret = 1"),
        (File::Sidecar, "[subscriptions.a]\nattempts = 1"),
        (File::Scenario, "[[scenario]]\nname = \"a\"\nstep = []\nwhen = 1"),
        (File::Scenario, "[[scenario]]\nname = \"a\"\n[[scenario.step]]\nevent = \"a\"\nthen.status = 1"),
        (File::Scenario, "[[scenario]]\nname = \"a\"\ngiven.sidecar.limit = 1\nstep = []"),
        // Missing keys.
        (File::Config, "[admin.tls]\ncertificate = \"a\""),
        (File::Config, "[ingress]\nevents = { types = [\"a\"] }"),
        (File::Scenario, "[[scenario]]\nstep = []"),
        (File::Scenario, "[[scenario]]\nname = \"a\""),
        // Wrong types.
        (File::Config, "plugins = 1"),
        (File::Config, "[http]\nmax_connections = \"many\""),
        (File::Config, "[bus]\nretain_delete_unhandled = \"yes\""),
        (File::Sidecar, "enabled = \"yes\""),
        (File::Sidecar, "[config]\npin = 1"),
        (File::Sidecar, "routes = \"GET /\""),
        (File::Scenario, "plugin = 1"),
        (File::Scenario, "[[scenario]]\nname = \"a\"\nstep = [{ request = \"GET /\", headers = { a = 1 } }]"),
        // Numbers out of range.
        (File::Config, "[http]\nmax_body_bytes = -1"),
        (File::Config, "[sandbox]\nconcurrency = 0"),
        (File::Config, "[sandbox]\nconcurrency = 4097"),
        (File::Config, "[bus]\nhop_limit = 4294967296"),
        (File::Config, "[ledger]\none_in = 0"),
        (File::Sidecar, "[limits]\nconcurrency = 0"),
        (File::Sidecar, "[limits]\nmax_backlog = 0"),
        (File::Sidecar, "[subscriptions.a]\nmax_attempts = 0"),
        (File::Sidecar, "[subscriptions.a]\njitter = -0.1"),
        (
            File::Scenario,
            "[[scenario]]\nname = \"a\"\nstep = []\n[[scenario.given.http]]\nrequest = \"GET http://a/\"\ntimes = 0",
        ),
        // Durations.
        (File::Config, "shutdown_grace_period = \"5 parsecs\""),
        (File::Config, "shutdown_grace_period = \"\""),
        (File::Config, "[http]\nbody_timeout = 5"),
        (File::Config, "[sandbox]\ntimeout = \"0s\""),
        (File::Sidecar, "[limits]\ntimeout = \"5\""),
        (File::Sidecar, "[rollback]\nwindow = \"soon\""),
        (File::Scenario, "[[scenario]]\nname = \"a\"\nstep = [{ advance = \"1x\" }]"),
        // Words, addresses and patterns.
        (File::Config, "log_format = \"xml\""),
        (File::Config, "[ledger]\nrecord = \"some\""),
        (File::Config, "listen = \"8080\""),
        (File::Config, "[bus]\nurl = \"redis://host\""),
        (File::Config, "[ingress]\nevents = \"on\""),
        (File::Config, "[ingress]\nevents = []"),
        (File::Config, "[ingress]\nevents = { types = [\"a..b\"], sources = [\"/a\"] }"),
        (File::Config, "[ingress]\nevents = { types = [], sources = [\"/a\"] }"),
        (File::Config, "[ingress]\nevents = { types = [\"a\"], sources = [\"/a*\"] }"),
        (File::Config, "[ingress]\nevents = { types = [\"a\"], sources = [\"\"] }"),
        (File::Sidecar, "[grants]\npublish = [\"a.>.b\"]"),
        (File::Sidecar, "[grants]\nhttp = [\"https://a\"]"),
        (File::Sidecar, "[grants]\nwebhooks = [\"*\"]"),
        (File::Sidecar, "[subscriptions.a]\ndead_letter_policy = \"drop\""),
        // Keys that exclude each other.
        (File::Scenario, "[[scenario]]\nname = \"a\"\nstep = [{ event = \"a\", advance = \"1s\" }]"),
        (File::Scenario, "[[scenario]]\nname = \"a\"\nstep = [{ }]"),
        (File::Scenario, "[[scenario]]\nname = \"a\"\nstep = [{ request = \"GET\" }]"),
    ] {
        assert!(file.parses(text).is_err(), "the parser accepts {text}");
        assert!(!faults(&file.validator(), text).is_empty(), "the schema accepts {text}");
    }
}

#[test]
fn what_the_parser_accepts_the_schema_accepts_too() {
    let most_events = format!("[canary]\nevents = {}", CanaryRule::MAX_EVENTS);
    for (file, text) in [
        (File::Config, ""),
        (File::Config, "listen = \"localhost:80\"\nadmin_listen = \"[::1]:0\""),
        (
            File::Config,
            "shutdown_grace_period = \"0s\"\n[http]\nbody_timeout = \"1.5 s\"\nwrite_timeout = \"1h30m 5 sec\"",
        ),
        (File::Config, "shutdown_grace_period = \"0\"\n[ledger]\nslow = \"5\u{b5}s\"\nretain_for = \"1month 2weeks\""),
        (File::Config, "[bus]\nurl = \"FILE:///var/lib\"\nhop_limit = 0\nmax_backlog = 0"),
        (File::Config, "[ingress]\nevents = \"off\"\ntrusted_proxies = []"),
        (
            File::Config,
            "[ingress]\nevents = { types = [\">\", \"*.b\"], sources = [\"*\", \"urn:a:*\", \"/a*b\"], replies = true }",
        ),
        (File::Sidecar, &most_events),
        (File::Sidecar, "[limits]\nmemory_bytes = 65536\nmax_log_bytes = 9223372036854775807"),
        (File::Sidecar, "[grants]\nhttp = [\"a\", \"*.a:1\", \"2001:db8::1\", \"[2001:db8::1]:443\"]\npublish = []"),
        (
            File::Sidecar,
            "[subscriptions.a]\nbackoff_multiplier = 2\njitter = 0\nnon_retryable = [\"trap\", \"out-of-memory\"]",
        ),
        (File::Scenario, ""),
        (File::Scenario, "plugins = [\"a\", \"../b\"]\n[[scenario]]\nname = \"\"\nstep = []"),
        (
            File::Scenario,
            "[[scenario]]\nname = \"a\"\nstep = [{ event = \"a\", data = [1, \"b\"], at = \"+5m\", attributes = { a = 1 } }]",
        ),
        (
            File::Scenario,
            "[[scenario]]\nname = \"a\"\nstep = [{ request = \"GET /\", then.response.status = 200, then.plugins.a.logs = [] }]",
        ),
    ] {
        assert_eq!(file.parses(text), Ok(()), "{text}");
        assert_eq!(faults(&file.validator(), text), [""; 0], "{text}");
    }
}

#[test]
fn keys_are_described_with_their_defaults() {
    for file in File::ALL {
        let schema = file.schema();
        let definitions = schema["definitions"].as_object().unwrap();
        for (name, table) in definitions.iter().chain([(&"the file".to_owned(), &schema)]) {
            for (key, property) in table["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{file:?}: `{key}` of {name} has no description");
            }
        }
    }
    let config = File::Config.schema();
    let timeout = &config["definitions"]["SandboxConfig"]["properties"]["timeout"];
    assert_eq!(timeout["default"], "10s", "{timeout}");
    let sidecar = File::Sidecar.schema();
    assert_eq!(sidecar["definitions"]["RollbackRule"]["properties"]["window"]["default"], "10m");
}
