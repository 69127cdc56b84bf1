//! Python: componentize-py builds a component that contains CPython.

mod dependencies;
mod links;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use self::dependencies::{Environment, PythonDependencies};
use super::componentize::componentize;
use super::prepared::{self, PreparedRuntime};
use crate::artifact::ArtifactForm;
use crate::build_cache::BuildCache;
use crate::build_profile::BuildProfile;
use crate::build_report::BuildReport;
use crate::bundled::UnpackedSdk;
use crate::cache::{self, is_cached};
use crate::files::write_file;
use crate::language::Language;
use crate::paths::relative;
use crate::project::{Manifest, Project};
use crate::{Error, run, workspaces};

/// The directory of the tool, below the cache directory. Its number changes with the tool's version.
const HOME: &str = "python-1";
const TOOL: &str = "componentize-py==0.25.1";

/// The package of the SDK.
const SDK: &str = "sandbus";
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

pub(crate) fn build(project: &Project, profile: BuildProfile, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
    let manifest = Manifest::read(&project.directory, Language::Python)?;
    let dependencies = PythonDependencies::lock(&project.directory, &manifest.dependencies, say)?;
    if profile == BuildProfile::Quick
        && manifest.is_prepared
        && let Some(report) = build_program(project, &manifest, &dependencies, say)?
    {
        return Ok(report);
    }
    let build_cache = BuildCache::open(&project.directory, HOME)?;
    if build_cache.is_current() {
        let component = build_cache.component().to_owned();
        return Ok(BuildReport::made(project.artifact(component, ArtifactForm::Component)));
    }
    let (tool, sdk) = (ensure(say)?, UnpackedSdk::ensure()?);
    let environment = dependencies.install(&project.directory, say)?;
    build_cache.record_read(&workspaces::python_sources(&project.path_dependencies))?;
    let (module, roots) = (module(&manifest), roots(project, &manifest, &environment, &sdk));
    let (found, warnings) = match run::json(finder(&sdk, "snapshot", &module, project).args(&roots))? {
        Ok(found) => found,
        Err(said) => return Ok(BuildReport::failed(said)),
    };
    let modules: Vec<_> = found["modules"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let imported = found["imported"].to_string();
    let roots = links::with_copies(roots, &modules, build_cache.directory())?;
    let shown: Vec<_> = roots.iter().map(|root| shown_root(project, &root.origin)).collect();
    write_file(&build_cache.directory().join(format!("{ENTRY}.py")), &entry(&manifest, &module, &imported, &shown))?;
    let mut python = componentizer(&tool, &environment);
    python.args(["--quiet", "--world", "plugin-with-client", "--wit-path"]).arg(sdk.contract());
    python.args(["componentize", ENTRY, "--output"]).arg(build_cache.component());
    python.arg("--python-path").arg(build_cache.directory());
    for root in &roots {
        python.arg("--python-path").arg(&root.path);
    }
    let mut report = componentize(&mut python, project, &build_cache)?;
    report.messages.iter_mut().for_each(|message| *message = without_tool(message, &shown));
    report.messages.extend(warnings);
    Ok(report)
}

/// Reduces the componentizer's message about a plugin whose import fails to the traceback with the plugin's own frames.
fn without_tool(message: &str, roots: &[String]) -> String {
    const BEGINNING: &str = "AssertionError: Traceback (most recent call last):\n";
    let Some((_, traceback)) = message.split_once(BEGINNING) else { return message.to_owned() };
    let traceback = traceback.split("\n\n").next().unwrap_or(traceback);
    let mut lines = Vec::new();
    let mut is_own = true;
    for line in traceback.lines() {
        if let Some(place) = line.strip_prefix("  File \"/") {
            // The componentizer mounts the roots of modules as /0, /1 and so on.
            let (root, place) = place.split_once('/').unwrap_or(("", place));
            let is_mounted = root.bytes().all(|byte| byte.is_ascii_digit());
            is_own = is_mounted && !place.starts_with(ENTRY);
            if is_own {
                let index = root.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                let root = index.and_then(|index| roots.get(index)).map_or("", String::as_str);
                lines.push(format!("  File \"{}", Path::new(root).join(place).display()));
            }
        } else if is_own || !line.starts_with("    ") {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

/// Makes the program of a project for the prepared runtime of its SDK; none if it needs a snapshot.
fn build_program(
    project: &Project,
    manifest: &Manifest,
    dependencies: &PythonDependencies,
    say: &mut dyn FnMut(&str),
) -> Result<Option<BuildReport>, Error> {
    let build_cache = BuildCache::open_for_program(&project.directory, HOME)?;
    let artifact = || project.artifact(build_cache.component().to_owned(), ArtifactForm::Program);
    if prepared::is_current(&build_cache)? {
        return Ok(Some(BuildReport::made(artifact())));
    }
    let sdk = UnpackedSdk::ensure()?;
    let environment = dependencies.install(&project.directory, say)?;
    let (module, roots) = (module(manifest), roots(project, manifest, &environment, &sdk));
    let (made, warnings) = match run::json(finder(&sdk, "program", &module, project).args(&roots))? {
        Ok(made) => made,
        Err(said) => return Ok(Some(BuildReport::failed(said))),
    };
    if let Some(reason) = made["unsupported"].as_str() {
        prepared::announce_snapshots(project, reason, say);
        return Ok(None);
    }
    let used = made["sdk"].as_str().map_or_else(|| sdk.python().join(SDK), PathBuf::from);
    if !used.join("_prepared.py").is_file() {
        prepared::announce_snapshots(project, "an SDK without a prepared runtime", say);
        return Ok(None);
    }
    let runtime = PreparedRuntime::ensure(HOME, &used, |component| {
        let tool = ensure(say)?;
        say("preparing the Python runtime (once for each version of the SDK)");
        prepare(&tool, &used, &sdk, component)
    })?;
    let described = [Some(&manifest.name), manifest.version.as_ref(), manifest.description.as_ref()];
    let program = json!({ "module": module, "described": described, "modules": made["modules"],
        "imported": made["imported"] });
    runtime.write_program(&build_cache, &program.to_string())?;
    let read: Vec<PathBuf> =
        made["read"].as_array().into_iter().flatten().filter_map(Value::as_str).map(PathBuf::from).collect();
    build_cache.record_read(&read)?;
    build_cache.mark_current()?;
    Ok(Some(BuildReport { messages: warnings.into_iter().collect(), ..BuildReport::made(artifact()) }))
}

/// Builds the prepared runtime of an SDK.
fn prepare(tool: &Path, used: &Path, sdk: &UnpackedSdk, component: &Path) -> Result<(), Error> {
    let environment = Environment::empty(component.with_file_name("python"))?;
    let home = component.with_file_name("entry");
    let entry = format!("from {SDK}._prepared import Descriptor, EventHandler, HttpHandler\n");
    write_file(&home.join(format!("{ENTRY}.py")), &entry)?;
    let mut python = componentizer(tool, &environment);
    python.args(["--quiet", "--world", "prepared", "--wit-path"]).arg(sdk.runtime_contract());
    python.args(["componentize", ENTRY, "--output"]).arg(component).arg("--python-path").arg(home);
    python.arg("--python-path").arg(used.parent().unwrap_or(used));
    run::output(&mut python).map(drop)
}

/// The module with the plugin.
fn module(manifest: &Manifest) -> String {
    manifest.module.clone().unwrap_or_else(|| manifest.name.replace('-', "_"))
}

/// Where modules are searched: a project's vendored modules precede its dependencies, and those precede the bundled
/// SDK.
fn roots(project: &Project, manifest: &Manifest, environment: &Environment, sdk: &UnpackedSdk) -> Vec<PathBuf> {
    let vendor = project.directory.join("vendor");
    let own = manifest.roots.iter().cloned().chain([vendor]).filter(|path| path.is_dir());
    own.chain([environment.packages.clone(), sdk.python()]).collect()
}

/// The path of a directory with modules from the project, as messages show it; empty for installed packages.
fn shown_root(project: &Project, root: &Path) -> String {
    let path = relative(&project.directory, root);
    let is_installed = path.components().any(|part| part.as_os_str() == "site-packages") || is_cached(root);
    if is_installed { String::new() } else { path.to_string_lossy().replace("../", "") }
}

/// The command that finds the modules that a plugin imports.
fn finder(sdk: &UnpackedSdk, form: &str, module: &str, project: &Project) -> Command {
    let mut python = Command::new("python3");
    python.arg("-I").arg(sdk.python().join(SDK).join("_build.py")).args([form, module]).arg(&project.directory);
    python
}

/// The command that makes components.
fn componentizer(tool: &Path, environment: &Environment) -> Command {
    let mut python = Command::new("python3");
    // The tool's script in pip's installation.
    python.args(["-c", "import sys; from componentize_py import script; sys.exit(script())"]);
    // With a virtual environment, the tool ignores the machine's packages.
    python.env("PYTHONPATH", tool).env("VIRTUAL_ENV", &environment.home);
    // Frames of the tool are of no use to the author.
    python.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0");
    python
}

/// The text of the entry module.
fn entry(manifest: &Manifest, module: &str, imported: &str, roots: &[String]) -> String {
    // A JSON string is also a Python string, and a JSON list of strings a Python list.
    let literal = |text: Option<&str>| text.map_or_else(|| "None".to_owned(), |text| Value::from(text).to_string());
    let described = [Some(&*manifest.name), manifest.version.as_deref(), manifest.description.as_deref()].map(literal);
    // A component has no files, so modules that handlers import must be loaded at build time. If a module cannot be
    // loaded at build time, the error appears when the handler imports it.
    format!(
        "import contextlib\nimport importlib\n\nimport sandbus._failure\nfrom sandbus._component import component\n\n\
         sandbus._failure.ROOTS = {}\nfrom {module} import plugin\n\n\
         for name in {imported}:\n    with contextlib.suppress(Exception):\n        importlib.import_module(name)\n\n\
         Descriptor, EventHandler, HttpHandler = component(plugin.described_by({}))\n",
        Value::from(roots),
        described.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_has_the_plugin_s_frames_only() {
        let message = "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nAssertionError: Traceback (most recent call last):\n  File \"/0/sandbus_entry.py\", line 5, in <module>\n    from shop import plugin\n  File \"/1/shop.py\", line 26, in <module>\n    print(table.name)\n          ^^^^^^^^^^\nAttributeError: no `name`\n\n\nCaused by:\n    AttributeError: no `name`";
        let expected = "  File \"src/shop.py\", line 26, in <module>\n    print(table.name)\n          ^^^^^^^^^^\nAttributeError: no `name`";
        let roots = ["src".to_owned()];
        assert_eq!(without_tool(message, &roots), expected);
        assert_eq!(without_tool("another message", &roots), "another message");
    }
}
