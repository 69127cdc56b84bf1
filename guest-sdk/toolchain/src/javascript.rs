//! JavaScript and TypeScript: esbuild bundles the sources into one module, and componentize-qjs builds a component from
//! it, or componentize-js if the project selects its engine. The SDK's `tools/build.js` runs these tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::BuildReport;
use crate::build_cache::BuildCache;
use crate::bundled::UnpackedSdk;
use crate::entry::JavaScriptEntry;
use crate::project::{Language, Manifest, Project};
use crate::run::manifest_error;
use crate::{Error, cache, run};

const BUNDLER: &str = "esbuild@0.28.2";

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
    fn of(directory: &Path) -> Result<Self, Error> {
        match Manifest::read(directory, Language::JavaScript)?.engine.as_deref() {
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
fn entry(directory: &Path) -> Result<PathBuf, Error> {
    match Manifest::read(directory, Language::JavaScript)?.entry {
        JavaScriptEntry::File(path) => Ok(path),
        missing => Err(manifest_error(&directory.join(Language::JavaScript.manifest()), missing.to_string())),
    }
}

pub(crate) fn build(project: &Project, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
    let engine = JavaScriptEngine::of(&project.directory)?;
    let build_cache = BuildCache::open(&project.directory, engine.home())?;
    if build_cache.is_current() {
        return Ok(BuildReport::made(project.artifact(build_cache.component().to_owned())));
    }
    let entry = entry(&project.directory)?;
    let (tools, sdk) = (engine.ensure(say)?, UnpackedSdk::ensure()?);
    let mut node = Command::new("node");
    node.arg(sdk.javascript().join("tools/build.js"));
    let paths: [&Path; 4] = [&tools, &project.directory, &sdk.contract(), build_cache.component()];
    node.args(paths).env("SANDBUS_COLOUR", if colour { "1" } else { "0" }).env("SANDBUS_ENTRY", entry);
    run::tool(&mut node, project, &build_cache)
}
