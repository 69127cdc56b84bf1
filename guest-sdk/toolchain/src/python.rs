//! Python: a component with CPython inside by componentize-py.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::build::BuildReport;
use crate::embedded::{Unpacked, write_file};
use crate::kept::Kept;
use crate::project::{Language, Manifest, Project};
use crate::{Error, cache, run};

/// Where the tool is, below the cache directory. Its number changes with the tool's version.
const HOME: &str = "python-1";
const TOOL: &str = "componentize-py==0.25.1";

/// The entry's module. `wit_world`, what the tool generates, must be called otherwise.
const ENTRY: &str = "sandbus_entry";

/// Installs the tool, unless it is there.
fn ensure(say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    cache::once(HOME, |home| {
        say(&format!("installing {TOOL} by pip (once)"));
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
        run::output(pip.arg(home).arg(TOOL)).map(drop)
    })
}

pub(crate) fn build(project: &Project, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
    let kept = Kept::of(&project.directory, HOME)?;
    if kept.is_current() {
        return Ok(BuildReport::made(project.artifact(kept.component().to_owned())));
    }
    let (tool, sdk) = (ensure(say)?, Unpacked::ensure()?);
    let manifest = Manifest::read(&project.directory, Language::Python)?;
    write_file(&kept.directory().join(format!("{ENTRY}.py")), &entry(&manifest))?;
    let mut python = Command::new("python3");
    // The tool's own script, wherever pip has put it.
    python.args(["-c", "import sys; from componentize_py import script; sys.exit(script())"]);
    python.env("PYTHONPATH", tool).env_remove("VIRTUAL_ENV");
    python.args(["--quiet", "--world", "plugin-with-http", "--wit-path"]).arg(sdk.contract());
    python.args(["componentize", ENTRY, "--output"]).arg(kept.component());
    python.arg("--python-path").arg(kept.directory());
    // What a project brings with it comes before the SDK that this program carries.
    let own = ["src", "vendor"].map(|name| project.directory.join(name));
    for path in own.into_iter().filter(|path| path.is_dir()).chain([sdk.python()]) {
        python.arg("--python-path").arg(path);
    }
    run::tool(&mut python, project, &kept)
}

/// What makes a component of the project's plugin.
fn entry(manifest: &Manifest) -> String {
    let module = manifest.module.clone().unwrap_or_else(|| manifest.name.replace('-', "_"));
    // A text in JSON is one in Python, too.
    let literal = |text: Option<&str>| text.map_or_else(|| "None".to_owned(), |text| Value::from(text).to_string());
    let described = [Some(&*manifest.name), manifest.version.as_deref(), manifest.description.as_deref()].map(literal);
    format!(
        "from sandbus._component import component\nfrom {module} import plugin\n\n\
         Descriptor, EventHandler, HttpHandler = component(plugin.described_by({}))\n",
        described.join(", ")
    )
}
