//! JavaScript and TypeScript: esbuild bundles the sources into one module, and componentize-qjs builds a component from
//! it, or componentize-js if the project selects its engine. The SDK's `tools/build.js` runs these tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::componentize::componentize;
use super::prepared::{self, PreparedRuntime};
use crate::artifact::ArtifactForm;
use crate::build_cache::BuildCache;
use crate::build_profile::BuildProfile;
use crate::build_report::BuildReport;
use crate::bundled::UnpackedSdk;
use crate::entry::JavaScriptEntry;
use crate::error::{at, manifest_error};
use crate::language::Language;
use crate::project::{Manifest, Project};
use crate::{Error, cache, run};

const BUNDLER: &str = "esbuild@0.28.2";
/// The variable that gives the SDK's tools the module that exports the plugin.
const ENTRY: &str = "SANDBUS_ENTRY";

/// The JavaScript engine in a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JavaScriptEngine {
    /// Small and fast to load; has the language, but no web platform.
    QuickJs,
    /// Firefox's engine with the web platform, in components of 12 MB.
    StarlingMonkey,
}

impl JavaScriptEngine {
    /// The engine that a project's `package.json` selects.
    fn of(manifest: &Manifest, directory: &Path) -> Result<Self, Error> {
        match manifest.engine.as_deref() {
            None | Some("quickjs") => Ok(Self::QuickJs),
            Some("starlingmonkey") => Ok(Self::StarlingMonkey),
            Some(other) => {
                let what = format!("sandbus.engine is `{other}`; it is `quickjs` or `starlingmonkey`");
                Err(manifest_error(&directory.join(Language::JavaScript.manifest()), what))
            }
        }
    }

    /// The directory of the tools, below the cache directory. Its number changes with the tools' versions.
    fn home(self) -> &'static str {
        match self {
            Self::QuickJs => "js-1",
            Self::StarlingMonkey => "js-starlingmonkey-1",
        }
    }

    fn tools(self) -> [&'static str; 2] {
        match self {
            Self::QuickJs => ["componentize-qjs@0.4.5", BUNDLER],
            Self::StarlingMonkey => ["@bytecodealliance/componentize-js@0.23.0", BUNDLER],
        }
    }

    /// Installs the tools by npm, unless they are installed. Returns the directory whose `node_modules` has them.
    ///
    /// # Errors
    /// If npm fails.
    pub fn ensure(self, say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
        cache::once(self.home(), |home| {
            say(&format!("installing {} by npm (once)", self.tools().join(" and ")));
            let mut npm = Command::new("npm");
            npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(home);
            run::output(npm.args(self.tools())).map(drop)
        })
    }
}

/// The module of a project that exports the plugin.
fn entry<'a>(manifest: &'a Manifest, directory: &Path) -> Result<&'a Path, Error> {
    match &manifest.entry {
        JavaScriptEntry::File(path) => Ok(path),
        missing => Err(manifest_error(&directory.join(Language::JavaScript.manifest()), missing.to_string())),
    }
}

pub(crate) fn build(
    project: &Project,
    profile: BuildProfile,
    colour: bool,
    say: &mut dyn FnMut(&str),
) -> Result<BuildReport, Error> {
    let manifest = Manifest::read(&project.directory, Language::JavaScript)?;
    let engine = JavaScriptEngine::of(&manifest, &project.directory)?;
    if profile == BuildProfile::Quick
        && engine == JavaScriptEngine::QuickJs
        && manifest.is_prepared
        && let Some(report) = build_program(project, &manifest, engine, colour, say)?
    {
        return Ok(report);
    }
    let build_cache = BuildCache::open(&project.directory, engine.home())?;
    if build_cache.is_current() {
        let component = build_cache.component().to_owned();
        return Ok(BuildReport::made(project.artifact(component, ArtifactForm::Component)));
    }
    let entry = entry(&manifest, &project.directory)?;
    let (tools, sdk) = (engine.ensure(say)?, UnpackedSdk::ensure()?);
    let paths: [&Path; 4] = [&tools, &project.directory, &sdk.contract(), build_cache.component()];
    componentize(script(&sdk, "build.js", colour).args(paths).env(ENTRY, entry), project, &build_cache)
}

/// Makes the program of a project for the prepared runtime of its SDK; none if it needs a snapshot.
fn build_program(
    project: &Project,
    manifest: &Manifest,
    engine: JavaScriptEngine,
    colour: bool,
    say: &mut dyn FnMut(&str),
) -> Result<Option<BuildReport>, Error> {
    let build_cache = BuildCache::open_for_program(&project.directory, engine.home())?;
    let artifact = || project.artifact(build_cache.component().to_owned(), ArtifactForm::Program);
    if prepared::is_current(&build_cache)? {
        return Ok(Some(BuildReport::made(artifact())));
    }
    let entry = entry(manifest, &project.directory)?;
    let (tools, sdk) = (engine.ensure(say)?, UnpackedSdk::ensure()?);
    let text = build_cache.directory().join("program.js");
    let paths: [&Path; 3] = [&tools, &project.directory, &text];
    let (made, messages) = match run::json(script(&sdk, "program.js", colour).args(paths).env(ENTRY, entry))? {
        Ok(made) => made,
        Err(said) => return Ok(Some(BuildReport::failed(said))),
    };
    if let Some(reason) = made["unsupported"].as_str() {
        prepared::announce_snapshots(project, reason, say);
        return Ok(None);
    }
    let used = made["sdk"].as_str().map_or_else(|| sdk.javascript(), PathBuf::from);
    let runtime = PreparedRuntime::ensure(engine.home(), &used, |component| {
        say("preparing the JavaScript runtime (once for each version of the SDK)");
        let contract = sdk.runtime_contract();
        let paths: [&Path; 4] = [&tools, &used, &contract, component];
        run::output(script(&sdk, "prepare.js", colour).args(paths)).map(drop)
    })?;
    let program = std::fs::read_to_string(&text).map_err(at(&text))?;
    runtime.write_program(&build_cache, &program)?;
    build_cache.mark_current()?;
    Ok(Some(BuildReport { messages: messages.into_iter().collect(), ..BuildReport::made(artifact()) }))
}

/// A command that runs one of the SDK's tools.
fn script(sdk: &UnpackedSdk, name: &str, colour: bool) -> Command {
    let mut node = Command::new("node");
    node.arg(sdk.javascript().join("tools").join(name)).env("SANDBUS_COLOUR", if colour { "1" } else { "0" });
    node
}
