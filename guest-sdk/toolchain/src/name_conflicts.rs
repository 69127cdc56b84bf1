//! Names that a new plugin cannot have: its project would not build, would not be found, or would shadow one of its own
//! dependencies.

use crate::template::Template;
use crate::tool_directories::TOOL_DIRECTORIES;

/// Names that a Rust crate cannot have: keywords (Rust reference, section 2.3), and crates that come with the compiler.
const RUST: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn \
    for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait \
    true try type typeof unsafe unsized use virtual where while yield \
    alloc core proc-macro std test";

/// Crates that a new project depends on. It cannot have the name of one of them.
const RUST_DEPENDENCIES: &str = "events sandbus-sdk sandbus-sdk-macros serde serde-json";

/// Names that npm reserves, and packages that a new project depends on.
const NPM: &str = "node-modules tsx typescript";

/// Python's keywords. A module with such a name cannot be imported.
const PYTHON_KEYWORDS: &str = "and as assert async await break class continue def del elif else except finally for from \
    global if import in is lambda nonlocal not or pass raise return try while with yield";

/// Modules of Python's standard library, 3.10 to 3.14. A project's module would shadow the one of the same name.
const PYTHON_MODULES: &str = "abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit \
    audioop base64 bdb binascii binhex bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop \
    collections colorsys compileall compression concurrent configparser contextlib contextvars copy copyreg crypt csv \
    ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest email encodings ensurepip enum errno \
    faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc genericpath getopt getpass gettext glob \
    graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io ipaddress itertools \
    json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap modulefinder msilib \
    msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev \
    pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd \
    py-compile pyclbr pydoc pydoc-data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched \
    secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 \
    sre-compile sre-constants sre-parse ssl stat statistics string stringprep struct subprocess sunau symtable sys \
    sysconfig syslog tabnanny tarfile telnetlib tempfile termios test textwrap this threading time timeit tkinter token \
    tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib uu uuid \
    venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo";

/// Further modules in a Python component, and the one that runs a new project's tests.
const PYTHON_TOOLS: &str = "events componentize-py componentize-py-async-support componentize-py-runtime componentize-py-types \
    poll-loop pytest sandbus-entry wit-world";

/// Files that tools keep in a project as `NAME.toml`, where its sidecar would be.
const TOOL_FILES: &str = "cargo clippy deny pyproject ruff rust-toolchain rustfmt taplo uv";

/// Returns the reason why a project cannot have a name, if there is one. `-` and `_` count as the same character.
#[must_use]
pub fn name_conflict(name: &str, template: Template) -> Option<&'static str> {
    let is_in = |words: &str| words.split(' ').any(|word| word == name);
    let is_foreign = TOOL_DIRECTORIES.iter().any(|foreign| foreign.replace('_', "-").trim_matches('-') == name);
    let of_language = match template {
        Template::Rust if is_in(RUST) => Some("is a keyword or a built-in crate of Rust"),
        Template::Rust if is_in(RUST_DEPENDENCIES) => Some("is a crate that the project depends on"),
        Template::JavaScript | Template::TypeScript if is_in(NPM) => Some("is a package that npm or the project needs"),
        Template::Python if is_in(PYTHON_KEYWORDS) => Some("is a keyword of Python"),
        Template::Python if is_in(PYTHON_MODULES) => Some("is a module of Python's standard library"),
        Template::Python if is_in(PYTHON_TOOLS) => Some("is a module that the project needs"),
        _ => None,
    };
    match name {
        "sandbus" => Some("is the name of the SDK"),
        _ if is_foreign => Some("is a directory name of build tools, where projects are not searched for"),
        _ if is_in(TOOL_FILES) => Some("would have a sidecar with the name of another tool's file"),
        _ => of_language,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const ALL: [Template; 5] =
        [Template::Rust, Template::JavaScript, Template::TypeScript, Template::Python, Template::Go];

    #[test]
    fn names_that_cannot_be_built_are_refused_in_the_languages_that_they_concern() {
        use Template::{JavaScript, Python, Rust, TypeScript};
        let scripts = [JavaScript, TypeScript];
        for (name, refused) in [
            ("sandbus", &ALL[..]),
            ("vendor", &ALL),
            ("node-modules", &ALL),
            ("target", &ALL),
            ("third-party", &ALL),
            ("pyproject", &ALL),
            ("clippy", &ALL),
            ("serde", &[Rust]),
            ("serde-json", &[Rust]),
            ("sandbus-sdk", &[Rust]),
            ("sandbus-sdk-macros", &[Rust]),
            ("match", &[Rust]),
            ("gen", &[Rust]),
            ("proc-macro", &[Rust]),
            ("std", &[Rust]),
            ("test", &[Rust, Python]),
            ("async", &[Rust, Python]),
            ("typescript", &scripts),
            ("email", &[Python]),
            ("pydoc-data", &[Python]),
            ("wit-world", &[Python]),
            ("pytest", &[Python]),
            ("orders", &[]),
            ("log", &[]),
        ] {
            let found: Vec<_> = ALL.into_iter().filter(|template| name_conflict(name, *template).is_some()).collect();
            assert_eq!(found, refused, "{name}");
        }
    }

    /// The lists are complete for the Python of this machine.
    #[test]
    fn every_module_and_keyword_of_python_is_refused() {
        let script = "import sys, keyword; print(*sys.stdlib_module_names, *keyword.kwlist)";
        let output = Command::new("python3").args(["-c", script]).output().unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        let mut plain =
            words.split_whitespace().filter(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
        let possible =
            |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let missing: Vec<_> = plain
            .by_ref()
            .filter(possible)
            .filter(|word| name_conflict(&word.replace('_', "-"), Template::Python).is_none())
            .collect();
        assert!(words.len() > 1_000 && missing.is_empty(), "{missing:?}");
    }

    /// What a template depends on is refused as its name.
    #[test]
    fn every_dependency_of_a_template_is_refused() {
        let manifest: toml::Table = crate::template::crate_manifest("a", "vendor/sdk").parse().unwrap();
        for name in manifest["dependencies"].as_table().unwrap().keys() {
            assert!(name_conflict(&name.replace('_', "-"), Template::Rust).is_some(), "{name}");
        }
        for template in [Template::JavaScript, Template::TypeScript] {
            let home = tempfile::tempdir().unwrap();
            template.create(&home.path().join("a"), "a", &[]).unwrap();
            let text = std::fs::read_to_string(home.path().join("a/package.json")).unwrap();
            let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
            let tables = ["dependencies", "devDependencies"].map(|table| manifest[table].as_object().cloned());
            for name in tables.into_iter().flatten().flat_map(|table| table.into_iter().map(|(name, _)| name)) {
                // A package with a scope has a name that no plugin can have.
                assert!(name.starts_with('@') || name_conflict(&name, template).is_some(), "{name}");
            }
        }
    }
}
