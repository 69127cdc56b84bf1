//! `sandbus new`.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::ValueEnum;
use sandbus_toolchain::{Handler, SharedWorkspace, Template};

use crate::console;
use crate::pattern::Pattern;
use crate::plugin::{METHODS, RESERVED, check_path};
use crate::subscription::OPERATOR;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name of the plugin or workspace and its directory: lower-case letters, digits and `-`
    #[arg(value_parser = parse_name)]
    name: String,
    /// Create a workspace for plugins that share one SDK and their event types
    #[arg(long, conflicts_with_all = ["lang", "on", "route"])]
    workspace: bool,
    /// Write the plugin in this language
    #[arg(long, value_name = "LANGUAGE", value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Handle events of this type, or pattern of types
    #[arg(long, value_name = "TYPE", value_parser = parse_event_type)]
    on: Option<Pattern>,
    /// Answer requests on this route, such as "POST /hello"
    #[arg(long, value_name = "ROUTE", value_parser = parse_route)]
    route: Option<Handler>,
    /// Create the project in this directory [default: the working directory, or `plugins` in the root of a workspace]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    #[value(alias = "rs")]
    Rust,
    #[value(alias = "javascript")]
    Js,
    #[value(alias = "typescript")]
    Ts,
    #[value(alias = "py")]
    Python,
    #[value(alias = "golang")]
    Go,
}

impl Language {
    fn template(self) -> Template {
        match self {
            Self::Rust => Template::Rust,
            Self::Js => Template::JavaScript,
            Self::Ts => Template::TypeScript,
            Self::Python => Template::Python,
            Self::Go => Template::Go,
        }
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
    // The name is also that of a crate or a Python module. PEP 508 requires a letter or a digit at the end.
    if begins && text.len() <= 64 && text.bytes().all(plain) && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    Err("a name begins with a letter, ends with a letter or a digit, and has at most 64 lower-case letters, digits and `-`"
        .to_owned())
}

fn parse_event_type(text: &str) -> Result<Pattern, String> {
    // Characters that every template can quote.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*>".contains(&byte);
    if !text.bytes().all(plain) {
        return Err("an event type consists of words of letters, digits, `-` and `_`, separated by dots".to_owned());
    }
    Pattern::parse(text).map_err(|error| error.to_string())
}

fn parse_route(text: &str) -> Result<Handler, String> {
    let wrong = || "write a method and a path, such as \"POST /hello\"".to_owned();
    let (method, path) = text.split_once(' ').ok_or_else(wrong)?;
    let method = method.to_uppercase();
    if !METHODS.contains(&&*method) {
        return Err(wrong());
    }
    check_path(path).map_err(|reason| format!("the path `{path}` is invalid: {reason}"))?;
    Ok(Handler::Route(method, path.to_owned()))
}

/// Why a project with this name would not build or load.
fn refusal(name: &str, lang: Language) -> Option<&'static str> {
    match name {
        OPERATOR => Some("is reserved for subscriptions of operators"),
        _ if RESERVED.contains(&&*format!("/{name}")) => Some("would have a route that is reserved for the host"),
        _ => sandbus_toolchain::name_conflict(name, lang.template()),
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { name, workspace, lang, on, route, directory } = arguments;
    if let Some(parent) = directory.as_ref().filter(|parent| !parent.is_dir()) {
        bail!("the directory {} does not exist; create it first, or choose another with --directory", parent.display());
    }
    if workspace {
        return create_workspace(&directory.unwrap_or_default().join(&name), &name);
    }
    let shared = SharedWorkspace::around(directory.as_deref().unwrap_or(Path::new(".")));
    let directory = directory.unwrap_or_else(|| parent(shared.as_ref())).join(&name);
    let mut handlers: Vec<_> = on.map(|pattern| Handler::Event(pattern.as_str().to_owned())).into_iter().collect();
    handlers.extend(route);
    if handlers.is_empty() {
        handlers.push(Handler::Event("user.registered".to_owned()));
        handlers.push(Handler::Route("GET".to_owned(), format!("/{name}")));
    }
    if let Some(reason) = refusal(&name, lang) {
        bail!("`{name}` {reason}; choose another name");
    }
    lang.template().create(&directory, &name, &handlers)?;
    let shown = directory.display();
    console::print_status(&format!(
        "created {shown}\n\n  cd {shown}\n  {}\n  sandbus test       # run its scenarios\n  sandbus build      # build dist/{name}.wasm\n  sandbus dev        # run it, and swap it when it changes",
        lang.template().test_command(shared.map(|_| "../.."))
    ));
    Ok(())
}

/// The directory for a new project if none is named.
fn parent(workspace: Option<&SharedWorkspace>) -> PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    match workspace {
        Some(workspace) if workspace.root() == here => {
            workspace.plugins().strip_prefix(&here).unwrap_or(&here).to_owned()
        }
        _ => PathBuf::new(),
    }
}

fn create_workspace(directory: &Path, name: &str) -> anyhow::Result<()> {
    // The name is also that of an npm scope.
    if let Some(reason) = sandbus_toolchain::name_conflict(name, Template::JavaScript) {
        bail!("`{name}` {reason}; choose another name");
    }
    SharedWorkspace::create(directory, name)?;
    let shown = directory.display();
    console::print_status(&format!(
        "created {shown}\n\n  cd {shown}\n  sandbus new orders --lang rust --on order.placed   # add a plugin, in any language\n  sandbus dev                                        # run all plugins, and swap each one when it changes"
    ));
    Ok(())
}
