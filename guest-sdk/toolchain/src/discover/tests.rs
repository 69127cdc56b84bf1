//! Typical layouts with cargo, npm, pnpm, yarn, uv and without any tool, and the projects that are found in each.

use std::fs;
use std::path::Path;

use super::*;
use crate::files::write_file;
use crate::{Handler, Template};

/// A plugin's crate by itself, as `sandbus new` makes it.
const ALONE: &str = "[package]\nname = \"NAME\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n[workspace]\nexclude = [\"vendor\"]\n";
/// A plugin's crate in a workspace.
const MEMBER: &str =
    "[package]\nname = \"NAME\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n";
/// A crate that is not a plugin.
const LIBRARY: &str = "[package]\nname = \"NAME\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
const SCRIPT: &str =
    r#"{ "name": "NAME", "main": "src/plugin.js", "dependencies": { "@sandbus/sdk": "file:vendor/@sandbus/sdk" } }"#;
const PLUGIN_JS: &str = "import { plugin } from \"@sandbus/sdk\";\nexport default plugin();\n";
const PYTHON: &str = "[project]\nname = \"NAME\"\nversion = \"0.1.0\"\n";
const PLUGIN_PY: &str = "from sandbus import Plugin\nplugin = Plugin()\n";
const WORKSPACE: &str = "[workspace]\nresolver = \"3\"\nmembers = MEMBERS\n";

/// What a layout consists of.
#[derive(Clone, Copy)]
enum Part {
    /// A crate with the manifest of one of the above, named as its directory is.
    CargoPackage(&'static str, &'static str),
    /// A project in JavaScript.
    Script(&'static str),
    /// A project in Python.
    Python(&'static str),
    /// A cargo workspace without a package, with members as they stand in its manifest.
    Virtual(&'static str, &'static str),
    /// Any file.
    File(&'static str, &'static str),
    /// A link at the first path to the second.
    Link(&'static str, &'static str),
}

use Part::{CargoPackage, File, Link, Python, Script, Virtual};

fn name_of(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap()
}

impl Part {
    fn make(self, root: &Path) {
        let write = |path: String, text: &str| write_file(&root.join(path), text).unwrap();
        match self {
            CargoPackage(path, manifest) => {
                write(format!("{path}/Cargo.toml"), &manifest.replace("NAME", name_of(path)));
                write(format!("{path}/src/lib.rs"), "");
            }
            Script(path) => {
                write(format!("{path}/package.json"), &SCRIPT.replace("NAME", name_of(path)));
                write(format!("{path}/src/plugin.js"), PLUGIN_JS);
            }
            Python(path) => {
                write(format!("{path}/pyproject.toml"), &PYTHON.replace("NAME", name_of(path)));
                write(format!("{path}/src/{}.py", name_of(path).replace('-', "_")), PLUGIN_PY);
            }
            Virtual(path, members) => write(format!("{path}/Cargo.toml"), &WORKSPACE.replace("MEMBERS", members)),
            File(path, text) => write(path.to_owned(), text),
            Link(path, target) => {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(root.join(target), path).unwrap();
            }
        }
    }
}

/// A layout, the path in it to search, and the expected result.
struct Case {
    what: &'static str,
    parts: &'static [Part],
    at: &'static str,
    found: &'static [&'static str],
    /// Directories that are reported as skipped, each with a part of the reason.
    skipped: &'static [(&'static str, &'static str)],
    /// Parts of the messages about what is broken.
    broken: &'static [&'static str],
}

const BASE: Case = Case { what: "", parts: &[], at: ".", found: &[], skipped: &[], broken: &[] };

const CASES: &[Case] = &[
    Case {
        what: "one crate, whose own directory is looked at",
        parts: &[CargoPackage("a", ALONE), File("a/vendor/@sandbus/sdk/package.json", SCRIPT), File("a/target/x", "")],
        at: "a",
        found: &["a"],
        ..BASE
    },
    Case {
        what: "a manifest's path stands for its directory",
        parts: &[CargoPackage("a", ALONE), Script("b")],
        at: "a/Cargo.toml",
        found: &["a"],
        ..BASE
    },
    Case {
        what: "crates with workspaces of their own beside scripts",
        parts: &[CargoPackage("a", ALONE), CargoPackage("b", ALONE), Script("c"), Python("d-e")],
        found: &["a", "b", "c", "d-e"],
        ..BASE
    },
    Case {
        what: "a workspace with globs and an excluded crate",
        parts: &[
            Virtual(".", "[\"crates/*\"]\nexclude = [\"crates/apart\"]"),
            CargoPackage("crates/a", MEMBER),
            CargoPackage("crates/b", MEMBER),
            CargoPackage("crates/shared", LIBRARY),
            CargoPackage("crates/apart", MEMBER),
        ],
        found: &["crates/a", "crates/apart", "crates/b"],
        skipped: &[(".", "a workspace"), ("crates/shared", "cdylib")],
        ..BASE
    },
    Case {
        what: "a member that is no default member",
        parts: &[
            Virtual(".", "[\"a\", \"b\"]\ndefault-members = [\"a\"]"),
            CargoPackage("a", MEMBER),
            CargoPackage("b", MEMBER),
        ],
        found: &["a", "b"],
        skipped: &[(".", "a workspace")],
        ..BASE
    },
    Case {
        what: "a root that is a plugin and a workspace",
        parts: &[
            File(
                "Cargo.toml",
                "[package]\nname = \"root\"\nversion = \"0.1.0\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\nmembers = [\"plugins/*\"]\n",
            ),
            File("src/lib.rs", ""),
            CargoPackage("plugins/a", MEMBER),
        ],
        found: &[".", "plugins/a"],
        ..BASE
    },
    Case {
        what: "a part of a workspace",
        parts: &[
            Virtual(".", "[\"plugins/*\", \"tool\"]"),
            CargoPackage("plugins/a", MEMBER),
            CargoPackage("plugins/b", MEMBER),
            CargoPackage("tool", MEMBER),
        ],
        at: "plugins",
        found: &["plugins/a", "plugins/b"],
        ..BASE
    },
    Case {
        what: "one member of a workspace",
        parts: &[Virtual(".", "[\"a\", \"b\"]"), CargoPackage("a", MEMBER), CargoPackage("b", MEMBER)],
        at: "b",
        found: &["b"],
        ..BASE
    },
    Case {
        what: "two workspaces, one within the other",
        parts: &[
            Virtual(".", "[\"a\"]\nexclude = [\"inner\"]"),
            CargoPackage("a", MEMBER),
            Virtual("inner", "[\"b\"]"),
            CargoPackage("inner/b", MEMBER),
        ],
        found: &["a", "inner/b"],
        skipped: &[(".", "a workspace"), ("inner", "a workspace")],
        ..BASE
    },
    Case {
        what: "a member in a directory that is not visited",
        parts: &[Virtual(".", "[\"vendor/a\"]"), CargoPackage("vendor/a", MEMBER), CargoPackage("vendor/b", ALONE)],
        found: &["vendor/a"],
        skipped: &[(".", "a workspace"), ("vendor", "installed")],
        ..BASE
    },
    Case {
        what: "a member outside of the path",
        parts: &[
            Virtual("root", "[\"a\", \"../b\"]"),
            CargoPackage("root/a", MEMBER),
            File(
                "b/Cargo.toml",
                "[package]\nname = \"b\"\nversion = \"0.1.0\"\nworkspace = \"../root\"\n[lib]\ncrate-type = [\"cdylib\"]\n",
            ),
            File("b/src/lib.rs", ""),
        ],
        at: "root",
        found: &["root/a"],
        skipped: &[("b", "outside of"), ("root", "a workspace")],
        ..BASE
    },
    Case {
        what: "a plugin within another one's directory",
        parts: &[
            CargoPackage("a", ALONE),
            CargoPackage("a/plugins/b", ALONE),
            Script("a/scripts/c"),
            Script("d"),
            Script("d/nested/e"),
        ],
        found: &["a", "a/plugins/b", "a/scripts/c", "d", "d/nested/e"],
        ..BASE
    },
    Case {
        what: "libraries of other kinds",
        parts: &[
            File(
                "web/Cargo.toml",
                "[package]\nname = \"web\"\nversion = \"0.1.0\"\n[lib]\ncrate-type = [\"cdylib\"]\n[dependencies]\nwasm-bindgen = \"0.2\"\n[workspace]\n",
            ),
            File("web/src/lib.rs", ""),
            File(
                "no/Cargo.toml",
                "[package]\nname = \"no\"\nversion = \"0.1.0\"\nmetadata.sandbus = false\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n",
            ),
            File("no/src/lib.rs", ""),
            CargoPackage("a", ALONE),
        ],
        found: &["a"],
        skipped: &[
            ("no", "metadata.sandbus is false"),
            ("web", "a library for JavaScript: it depends on wasm-bindgen"),
        ],
        ..BASE
    },
    Case {
        what: "an npm workspace at the root of a cargo workspace",
        parts: &[
            Virtual(".", "[\"plugins/a\"]"),
            CargoPackage("plugins/a", MEMBER),
            File(
                "package.json",
                r#"{ "private": true, "workspaces": ["plugins/*"], "devDependencies": { "@sandbus/sdk": "1" } }"#,
            ),
            Script("plugins/b"),
        ],
        found: &["plugins/a", "plugins/b"],
        skipped: &[(".", "a workspace without a package"), (".", "the root of a workspace")],
        ..BASE
    },
    Case {
        what: "workspaces as yarn's object, and a root that is a plugin itself",
        parts: &[
            File(
                "package.json",
                r#"{ "name": "root", "workspaces": { "packages": ["packages/*"] }, "main": "src/plugin.js" }"#,
            ),
            File("src/plugin.js", PLUGIN_JS),
            Script("packages/a"),
        ],
        found: &[".", "packages/a"],
        ..BASE
    },
    Case {
        what: "a pnpm workspace with a front end and libraries",
        parts: &[
            File("pnpm-workspace.yaml", "packages: ['apps/*', 'packages/*']\n"),
            File("package.json", r#"{ "name": "root", "dependencies": { "@sandbus/sdk": "1" } }"#),
            Script("apps/a"),
            File("apps/web/package.json", r#"{ "name": "web", "main": "index.js" }"#),
            File("apps/web/index.js", "export default {};"),
            File(
                "packages/shared/package.json",
                r#"{ "name": "@shop/shared", "main": "index.ts", "dependencies": { "@sandbus/sdk": "1" } }"#,
            ),
            File("packages/shared/index.ts", "export const a = 1;"),
            File("packages/types/package.json", r#"{ "name": "types", "exports": "./index.d.ts" }"#),
        ],
        found: &["apps/a"],
        skipped: &[
            (".", "the root of a workspace"),
            ("apps/web", "does not use @sandbus/sdk"),
            ("packages/shared", "no default export"),
            ("packages/types", "names no file"),
        ],
        ..BASE
    },
    Case {
        what: "scripts whose manifest says whether they are plugins",
        parts: &[
            File("a/package.json", r#"{ "name": "a", "main": "b.js", "sandbus": { "engine": "starlingmonkey" } }"#),
            File("b/package.json", r#"{ "name": "b", "main": "b.js", "sandbus": false }"#),
            File("b/b.js", PLUGIN_JS),
        ],
        found: &["a"],
        skipped: &[("b", "`sandbus` is false")],
        ..BASE
    },
    Case {
        what: "a script that is named, and whose module says nothing",
        parts: &[
            File("a/package.json", r#"{ "name": "a", "main": "a.js" }"#),
            File("a/a.js", "export * from './b.js'"),
        ],
        at: "a",
        found: &["a"],
        ..BASE
    },
    Case {
        what: "a uv workspace",
        parts: &[
            File("pyproject.toml", "[tool.uv.workspace]\nmembers = [\"packages/*\"]\n"),
            Python("packages/a"),
            File("packages/lib/pyproject.toml", "[project]\nname = \"lib\"\n"),
            File("packages/lib/src/lib/__init__.py", "x = 1\n"),
            File("packages/pack/pyproject.toml", "[project]\nname = \"pack\"\n"),
            File("packages/pack/src/pack/__init__.py", "from .app import plugin\n"),
            File("packages/pack/src/pack/app.py", PLUGIN_PY),
            File("packages/named/pyproject.toml", "[project]\nname = \"named\"\n[tool.sandbus]\nmodule = \"shop\"\n"),
        ],
        found: &["packages/a", "packages/named", "packages/pack"],
        skipped: &[(".", "no [project]"), ("packages/lib", "does not use sandbus")],
        ..BASE
    },
    Case {
        what: "installed and built files",
        parts: &[
            Script("a"),
            Script("node_modules/b"),
            Script("dist/c"),
            Python(".venv/d"),
            CargoPackage("target/e", ALONE),
            Script(".hidden/f"),
            Python("env/g"),
            File("env/pyvenv.cfg", ""),
            CargoPackage("out/h", ALONE),
            File("out/CACHEDIR.TAG", ""),
            Script("a/node_modules/i"),
        ],
        found: &["a"],
        skipped: &[
            (".hidden", "hidden"),
            (".venv", "hidden"),
            ("dist", "installed"),
            ("env", "installed"),
            ("node_modules", "installed"),
            ("out", "installed"),
            ("target", "installed"),
        ],
        ..BASE
    },
    Case {
        what: "links to a project, to a directory of projects, and to a parent directory",
        parts: &[
            Script("elsewhere/a"),
            Link("here/a", "elsewhere/a"),
            Link("here/again", "elsewhere/a"),
            Link("here/all", "elsewhere"),
            Link("here/up", "here"),
        ],
        at: "here",
        found: &["elsewhere/a"],
        skipped: &[("here/all", "a link"), ("here/up", "a link")],
        ..BASE
    },
    Case {
        what: "a directory within a project",
        parts: &[Script("a"), File("a/tests/one.toml", "")],
        at: "a/tests",
        found: &["a"],
        ..BASE
    },
    Case {
        what: "a directory within a crate",
        parts: &[Virtual(".", "[\"a\"]"), CargoPackage("a", MEMBER)],
        at: "a/src",
        found: &["a"],
        ..BASE
    },
    Case {
        what: "two plugins of one name",
        parts: &[CargoPackage("a-b", ALONE), CargoPackage("other/a_b", ALONE), Script("c")],
        found: &["a-b", "c"],
        broken: &["both make the plugin `a_b`; rename one"],
        ..BASE
    },
    Case {
        what: "malformed manifests, of plugins and of other tools' tests",
        parts: &[
            Script("a"),
            File("b/package.json", "{ \"@sandbus/sdk\" "),
            File("c/package.json", "{"),
            File("d/Cargo.toml", "[package]\nname = \"{{name}}\"\n[lib]\ncrate-type = [\"cdylib\"]\n"),
            CargoPackage("e", ALONE),
            CargoPackage("e/stray", MEMBER),
        ],
        found: &["a", "e"],
        skipped: &[("c", "malformed"), ("d", "a template")],
        broken: &["b/package.json", "believes it's in a workspace"],
        ..BASE
    },
    Case {
        what: "an npm workspace whose members have entries as tools of all kinds name them",
        parts: &[
            File(
                "package.json",
                r#"{ "private": true, "workspaces": ["services/*/plugin"], "dependencies": { "@sandbus/sdk": "1" } }"#,
            ),
            File("src/index.ts", "console.log(1);"),
            File("services/a/plugin/package.json", r#"{ "name": "@shop/a", "type": "module" }"#),
            File("services/a/plugin/src/index.ts", PLUGIN_JS),
            File("services/b/plugin/package.json", r#"{ "name": "b", "main": "dist/index.js" }"#),
            File("services/b/plugin/src/index.ts", PLUGIN_JS),
            File("services/b/plugin/tsconfig.json", "{}"),
            File("services/c/plugin/package.json", r#"{ "name": "c", "exports": { ".": { "import": "./lib.mjs" } } }"#),
            File("services/c/plugin/lib.mjs", PLUGIN_JS),
            File("services/d/plugin/package.json", r#"{ "name": "d", "module": "index.js" }"#),
            File(
                "services/d/plugin/index.js",
                "const { plugin } = require(\"@sandbus/sdk\");\nmodule.exports = plugin();\n",
            ),
            File("services/e/plugin/package.json", r#"{ "name": "e", "peerDependencies": { "@sandbus/sdk": "*" } }"#),
            File("services/e/plugin/src/main.ts", "export { default } from \"./shop\";\n"),
            File("services/f/plugin/package.json", r#"{ "name": "f" }"#),
        ],
        found: &[
            "services/a/plugin",
            "services/b/plugin",
            "services/c/plugin",
            "services/d/plugin",
            "services/e/plugin",
        ],
        skipped: &[(".", "the root of a workspace"), ("services/f/plugin", "names no file")],
        ..BASE
    },
    Case {
        what: "a workspace's root that is a plugin and names no entry",
        parts: &[
            File("package.json", r#"{ "name": "root", "workspaces": ["packages/*"] }"#),
            File("src/index.ts", PLUGIN_JS),
            Script("packages/a"),
        ],
        found: &[".", "packages/a"],
        ..BASE
    },
    Case {
        what: "members of workspaces in directories that are usually written by tools",
        parts: &[
            File("package.json", r#"{ "private": true, "workspaces": { "packages": ["target/*", "vendor/c"] } }"#),
            Script("target/a"),
            Script("vendor/c"),
            Script("vendor/d"),
            File("pnpm/pnpm-workspace.yaml", "packages:\n  - dist/*\n  - ../outside\n"),
            File("pnpm/package.json", "{}"),
            Script("pnpm/dist/e"),
            File("uv/pyproject.toml", "[tool.uv.workspace]\nmembers = [\"vendor/*\"]\n"),
            Python("uv/vendor/g"),
        ],
        found: &["pnpm/dist/e", "target/a", "uv/vendor/g", "vendor/c"],
        skipped: &[
            (".", "the root of a workspace"),
            ("pnpm", "the root of a workspace"),
            ("pnpm/dist", "installed"),
            ("target", "installed"),
            ("uv", "no [project]"),
            ("uv/vendor", "installed"),
            ("vendor", "installed"),
        ],
        ..BASE
    },
    Case {
        what: "Python projects of poetry, hatch, uv and setuptools, with and without src",
        parts: &[
            File("poetry/pyproject.toml", "[tool.poetry]\nname = \"poetry-shop\"\nversion = \"1.0\"\n"),
            File("poetry/poetry_shop/__init__.py", PLUGIN_PY),
            File("flat/pyproject.toml", "[project]\nname = \"flat\"\n"),
            File("flat/flat.py", PLUGIN_PY),
            File("app/pyproject.toml", "[project]\nname = \"app\"\n"),
            File("app/main.py", PLUGIN_PY),
            File(
                "hatch/pyproject.toml",
                "[project]\nname = \"hatch-shop\"\ndynamic = [\"version\"]\n[tool.hatch.build.targets.wheel]\npackages = [\"python/shop\"]\n",
            ),
            File("hatch/python/shop/__init__.py", ""),
            File("hatch/python/shop/plugin.py", PLUGIN_PY),
            File(
                "setup/pyproject.toml",
                "[project]\nname = \"setup\"\n[tool.setuptools.package-dir]\n\"\" = \"lib\"\n",
            ),
            File("setup/lib/setup/__init__.py", PLUGIN_PY),
            File("tools/pyproject.toml", "[tool.poetry]\nname = \"tools\"\n"),
            File("tools/tools.py", "print(1)\n"),
            File("lint/pyproject.toml", "[tool.ruff]\nline-length = 100\n"),
        ],
        found: &["app", "flat", "hatch", "poetry", "setup"],
        skipped: &[("lint", "no [project]"), ("tools", "tools.py does not use sandbus")],
        ..BASE
    },
    Case {
        what: "a crate and a script in one directory",
        parts: &[
            CargoPackage("shop", ALONE),
            File("shop/package.json", r#"{ "name": "shop-tools", "scripts": {} }"#),
            CargoPackage("both", ALONE),
            File("both/package.json", r#"{ "name": "both-js", "sandbus": {} }"#),
            File("both/plugin.js", PLUGIN_JS),
        ],
        found: &["both", "both", "shop"],
        skipped: &[("shop", "names no file")],
        ..BASE
    },
    Case {
        what: "links to crates and projects elsewhere, which a workspace lists",
        parts: &[
            Script("elsewhere/a"),
            Python("elsewhere/b"),
            CargoPackage("elsewhere/c", ALONE),
            File("shop/package.json", r#"{ "private": true, "workspaces": ["plugins/*"] }"#),
            Link("shop/plugins/a", "elsewhere/a"),
            Link("shop/plugins/b", "elsewhere/b"),
            Link("shop/plugins/c", "elsewhere/c"),
        ],
        at: "shop",
        found: &["elsewhere/a", "elsewhere/b", "elsewhere/c"],
        skipped: &[("shop", "the root of a workspace")],
        ..BASE
    },
    Case { what: "nothing", parts: &[File("README.md", "")], ..BASE },
];

#[test]
fn every_project_is_found_and_what_is_left_out_is_said() {
    let mut wrong = Vec::new();
    for case in CASES {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        case.parts.iter().for_each(|part| part.make(&root));
        let found = Discovery::of(&root.join(case.at)).unwrap();
        let short = |path: &Path| match path.strip_prefix(&root).unwrap().display().to_string() {
            path if path.is_empty() => ".".to_owned(),
            path => path,
        };
        let projects: Vec<_> = found.projects.iter().map(|project| short(&project.directory)).collect();
        if projects != case.found {
            wrong.push(format!("{}: found {projects:?} of {:?}", case.what, case.found));
        }
        let skipped: Vec<_> =
            found.skipped.iter().map(|skipped| (short(&skipped.path), skipped.reason.clone())).collect();
        let is_as_said = |((path, reason), (expected, part)): (&(String, String), &(&str, &str))| {
            path == expected && reason.contains(part)
        };
        if skipped.len() != case.skipped.len() || !skipped.iter().zip(case.skipped).all(is_as_said) {
            wrong.push(format!("{}: skipped {skipped:#?}, not {:#?}", case.what, case.skipped));
        }
        let broken: Vec<_> = found.broken.iter().map(ToString::to_string).collect();
        if broken.len() != case.broken.len() || !broken.iter().zip(case.broken).all(|(text, part)| text.contains(part))
        {
            wrong.push(format!("{}: broken {broken:#?}, not {:#?}", case.what, case.broken));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn new_projects_are_found() {
    let root = tempfile::tempdir().unwrap();
    let templates = [Template::Go, Template::JavaScript, Template::Python, Template::Rust, Template::TypeScript];
    for template in templates {
        let name = format!("a-{}", template.name());
        template.create(&root.path().join(&name), &name, &[Handler::Event("x.y".into())]).unwrap();
    }
    let found = Discovery::of(root.path()).unwrap();
    let names: Vec<_> = found.names().collect();
    assert_eq!(names, ["a-go", "a-js", "a-python", "a-rust", "a-ts"]);
    assert!(found.skipped.is_empty() && found.broken.is_empty(), "{found:#?}");
}

#[test]
fn crates_know_what_else_they_are_built_of() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    Virtual(".", "[\"a\", \"shared\"]").make(&root);
    CargoPackage("shared", LIBRARY).make(&root);
    CargoPackage("a", MEMBER).make(&root);
    let manifest = MEMBER.replace("NAME", "a") + "[dependencies]\nshared = { path = \"../shared\" }\n";
    fs::write(root.join("a/Cargo.toml"), manifest).unwrap();
    let project = Project::find(&root.join("a")).unwrap();
    assert_eq!(project.path_dependencies, [root.join("shared")]);
    assert_eq!(project.sidecar(), root.join("a/a.toml"));
}

#[test]
fn a_path_that_does_not_exist_is_named_once() {
    let error = Discovery::of(Path::new("/nonexistent/typo")).unwrap_err();
    assert_eq!(crate::causes(&error), "/nonexistent/typo: No such file or directory (os error 2)");
}
