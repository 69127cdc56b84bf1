//! Python: componentize-py builds a component that contains CPython.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::build::BuildReport;
use crate::build_cache::BuildCache;
use crate::bundled::{UnpackedSdk, write_file};
use crate::project::{Language, Manifest, Project};
use crate::python_dependencies::PythonDependencies;
use crate::{Error, cache, run, workspaces};

/// The directory of the tool, below the cache directory. Its number changes with the tool's version.
const HOME: &str = "python-1";
const TOOL: &str = "componentize-py==0.25.1";

/// The entry module. The name `wit_world` is taken by the tool's generated module.
const ENTRY: &str = "sandbus_entry";

/// Installs the tool, unless it is installed.
fn ensure(say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    cache::once(HOME, |home| {
        say(&format!("installing {TOOL} by pip (once)"));
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
        run::output(pip.arg(home).arg(TOOL)).map(drop)
    })
}

pub(crate) fn build(project: &Project, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
    let manifest = Manifest::read(&project.directory, Language::Python)?;
    let dependencies = PythonDependencies::lock(&project.directory, &manifest.dependencies, say)?;
    let build_cache = BuildCache::open(&project.directory, HOME)?;
    if build_cache.is_current() {
        return Ok(BuildReport::made(project.artifact(build_cache.component().to_owned())));
    }
    let (tool, sdk) = (ensure(say)?, UnpackedSdk::ensure()?);
    let environment = dependencies.install(&build_cache, say)?;
    // A project's vendored modules precede its dependencies, and those precede the bundled SDK.
    let vendor = project.directory.join("vendor");
    let own = manifest.roots.iter().cloned().chain([vendor]).filter(|path| path.is_dir());
    let roots: Vec<_> = own.chain([environment.packages, sdk.python()]).collect();
    build_cache.record_read(&workspaces::python_sources(&project.path_dependencies))?;
    let module = manifest.module.clone().unwrap_or_else(|| manifest.name.replace('-', "_"));
    let imported = match imported(project, &module, &roots, &sdk)? {
        Ok(imported) => imported,
        Err(said) => return Ok(BuildReport { artifacts: Vec::new(), messages: vec![said], succeeded: false }),
    };
    write_file(&build_cache.directory().join(format!("{ENTRY}.py")), &entry(&manifest, &module, &imported))?;
    let mut python = Command::new("python3");
    // The tool's script in pip's installation.
    python.args(["-c", "import sys; from componentize_py import script; sys.exit(script())"]);
    // With a virtual environment, the tool ignores the machine's packages.
    python.env("PYTHONPATH", tool).env("VIRTUAL_ENV", environment.home);
    // Frames of the tool are of no use to the author.
    python.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0");
    python.args(["--quiet", "--world", "plugin-with-client", "--wit-path"]).arg(sdk.contract());
    python.args(["componentize", ENTRY, "--output"]).arg(build_cache.component());
    python.arg("--python-path").arg(build_cache.directory());
    for path in roots {
        python.arg("--python-path").arg(path);
    }
    run::tool(&mut python, project, &build_cache)
}

/// The modules that the plugin's sources import, as JSON, or the missing ones.
fn imported(
    project: &Project,
    module: &str,
    roots: &[PathBuf],
    sdk: &UnpackedSdk,
) -> Result<Result<String, String>, Error> {
    let mut python = Command::new("python3");
    python.arg("-I").arg(sdk.python().join("sandbus/_build.py")).arg(module).arg(&project.directory).args(roots);
    let output = python.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::Start { program: "python3".to_owned(), error })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

/// The command that builds the component.
fn entry(manifest: &Manifest, module: &str, imported: &str) -> String {
    // A JSON string is also a Python string, and a JSON list of strings a Python list.
    let literal = |text: Option<&str>| text.map_or_else(|| "None".to_owned(), |text| Value::from(text).to_string());
    let described = [Some(&*manifest.name), manifest.version.as_deref(), manifest.description.as_deref()].map(literal);
    // A component has no files, so modules that handlers import must be loaded at build time. A module that cannot run
    // there fails in the handler.
    format!(
        "import contextlib\nimport importlib\n\nfrom sandbus._component import component\nfrom {module} import plugin\n\n\
         for name in {imported}:\n    with contextlib.suppress(Exception):\n        importlib.import_module(name)\n\n\
         Descriptor, EventHandler, HttpHandler = component(plugin.described_by({}))\n",
        described.join(", ")
    )
}
