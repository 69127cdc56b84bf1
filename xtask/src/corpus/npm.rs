//! Builds components from packages of npm, with `jco`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::entry::{Entry, Source};
use super::{Directories, path_text, program};
use crate::steps::run;

const JCO: &str = "@bytecodealliance/jco";
const JCO_VERSION: &str = "1.35.0";

/// jco 1.35.0 does not work with the later releases of this package that it asks for: they open no directories.
const SHIM: (&str, &str) = ("@bytecodealliance/preview2-shim", "0.26.0");

/// Pins the packages that packages ask for: releases after this day are not installed.
const RELEASED: &str = "--before=2026-12-01";

/// Builds the program of an entry.
pub(super) fn build(directories: &Directories, entry: &Entry) -> anyhow::Result<()> {
    let Source::Program(program) = &entry.source else { bail!("packages of npm have no examples of their own") };
    let project = directories.project(entry);
    install(&project, entry, &program.dependencies)?;
    let modules = project.join("node_modules");
    // TypeScript also makes jco bundle the program with its dependencies.
    fs::write(project.join("app.ts"), program::text_of(&modules.join(&entry.package), program)?)?;
    let world = program.world()?;
    let interfaces = match &program.wit {
        Some(directory) => modules.join(directory),
        None => write_interfaces(&modules, &project.join("wit"), world)?,
    };
    let mut build = Command::new("node");
    build.current_dir(&project).arg(modules.join(JCO).join("dist/jco.js"));
    build.args(["componentize", "app.ts", "--world-name", world, "--wit", path_text(&interfaces)?, "--out"]);
    run(build.arg(directories.component(entry)))
}

/// Installs a package, what its program needs, and jco.
fn install(project: &Path, entry: &Entry, dependencies: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let mut all = dependencies.clone();
    all.insert(entry.package.clone(), entry.version.clone());
    all.insert(JCO.to_owned(), JCO_VERSION.to_owned());
    let manifest = json!({ "private": true, "type": "module", "dependencies": all, "overrides": { SHIM.0: SHIM.1 } });
    let manifest = serde_json::to_string_pretty(&manifest)?;
    let path = project.join("package.json");
    let installed = project.join("node_modules/.package-lock.json");
    if installed.exists() && fs::read_to_string(&path).is_ok_and(|text| text == manifest) {
        return Ok(());
    }
    fs::create_dir_all(project)?;
    fs::write(path, manifest)?;
    let quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").current_dir(project).args(["install", RELEASED]).args(quiet))
}

/// Copies the interfaces that jco ships for a world of `wasi:http`, in the layout of a package with dependencies.
/// Returns the directory.
fn write_interfaces(modules: &Path, destination: &Path, world: &str) -> anyhow::Result<PathBuf> {
    let (_, version) = world.split_once('@').context("the world has no version")?;
    let shipped = modules.join(JCO).join("lib/wit/builtin").join(version);
    for entry in fs::read_dir(&shipped).with_context(|| format!("jco has no interfaces of WASI {version}"))? {
        let name = entry?.file_name();
        let name = path_text(Path::new(&name))?.to_owned();
        let directory: PathBuf = match name.as_str() {
            "wasi-http" => destination.to_owned(),
            _ => destination.join("deps").join(&name),
        };
        fs::create_dir_all(&directory)?;
        fs::copy(shipped.join(&name).join("package.wit"), directory.join("package.wit"))?;
    }
    Ok(destination.to_owned())
}
