//! JavaScript and TypeScript: one module of all sources by esbuild, and a component on QuickJS by
//! componentize-qjs. What the two do is in the SDK's `tools/build.js`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::BuildReport;
use crate::embedded::Unpacked;
use crate::kept::Kept;
use crate::project::Project;
use crate::{Error, cache, run};

/// Where the tools are, below the cache directory. Its number changes with what follows.
const HOME: &str = "js-1";
const TOOLS: [&str; 2] = ["componentize-qjs@0.4.5", "esbuild@0.28.2"];

/// Installs esbuild and componentize-qjs by npm, unless they are there. They are below the directory that is
/// returned, in `node_modules`.
///
/// # Errors
/// If npm fails.
pub fn ensure(say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    cache::once(HOME, |home| {
        say(&format!("installing {} by npm (once)", TOOLS.join(" and ")));
        let mut npm = Command::new("npm");
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(home);
        run::output(npm.args(TOOLS)).map(drop)
    })
}

pub(crate) fn build(project: &Project, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
    let kept = Kept::of(&project.directory, HOME)?;
    if kept.is_current() {
        return Ok(BuildReport::made(project.artifact(kept.component().to_owned())));
    }
    let (tools, sdk) = (ensure(say)?, Unpacked::ensure()?);
    let mut node = Command::new("node");
    node.arg(sdk.javascript().join("tools/build.js"));
    let paths: [&Path; 4] = [&tools, &project.directory, &sdk.contract(), kept.component()];
    node.args(paths).env("SANDBUS_COLOUR", if colour { "1" } else { "0" });
    run::tool(&mut node, project, &kept)
}
