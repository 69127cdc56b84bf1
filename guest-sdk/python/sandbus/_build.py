"""Finds the modules that a plugin imports: python3 -I _build.py snapshot|program MODULE PROJECT ROOT…

A component has no files, so a build must know all modules that the plugin's sources import, including those that
functions import. A missing module is an error with the file and line of its import. Standard output has JSON: for a
snapshot the names of the modules, and for a program of a prepared runtime also their sources."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

#: Modules that the standard library imports lazily. Codecs are modules, too.
LAZY_IMPORTS = [
    "_strptime",
    "calendar",
    "importlib.resources",
    *(f"encodings.{codec}" for codec in ("ascii", "cp1252", "idna", "iso8859_15", "latin_1", "punycode")),
    *(f"encodings.{codec}" for codec in ("unicode_escape", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_8_sig")),
    "linecache",
    "stringprep",
    "tokenize",
    "traceback",
    "unicodedata",
]

#: The Python version inside a component.
COMPONENT_VERSION = (3, 14)

#: Modules that exist only in a component: newer parts of the standard library, and generated modules.
COMPONENT_ONLY = {"annotationlib", "compression", "componentize_py_types", "wit_world"}


#: Modules that read files of packages or of the system.
FILE_READERS = {"importlib.resources", "importlib_resources", "pkg_resources", "zoneinfo"}

#: Functions that read files.
FILE_CALLS = {"get_data", "open", "read_bytes", "read_text"}


@dataclass(frozen=True)
class Import:
    """An import in a source file."""

    name: str
    line: int
    #: Whether the source handles a failed import, or imports only for type checkers.
    is_optional: bool
    #: The imported names, which may be submodules.
    names: tuple[str, ...] = ()


def main(form: str, module: str, project: str, roots: list[str]) -> int:
    others = tuple(os.path.join(project, name) + os.sep for name in ("vendor", ".sandbus"))
    queue, wanted, missing = [module, *_parents(module)], [*LAZY_IMPORTS], []
    sources: dict[str, str | None] = {}
    reads_files = False
    while queue:
        name = queue.pop()
        if name in sources or (form == "program" and _is_sdk(name)):
            continue
        path = sources[name] = _source(name, roots)
        if path is None:
            continue
        is_own = path.startswith(project + os.sep) and not path.startswith(others)
        try:
            tree, warned = _parsed(path)
        except SyntaxError as error:
            if sys.version_info < COMPONENT_VERSION:
                continue  # The syntax may be newer than this Python. If it is wrong, the build reports it.
            print(f"{os.path.relpath(path, project)}:{error.lineno}: {error.msg}", file=sys.stderr)
            return 1
        if is_own:
            for line, text in warned:
                print(f"{os.path.relpath(path, project)}:{line}: warning: {text}", file=sys.stderr)
        reads_files = reads_files or _reads_files(tree)
        for each in _imports(tree, path, name):
            exists = _exists(each.name, roots)
            if not exists and not each.is_optional and is_own:
                missing.append(f"{os.path.relpath(path, project)}:{each.line}: there is no module `{each.name}`")
            if exists:
                submodules = [f"{each.name}.{part}" for part in each.names if _source(f"{each.name}.{part}", roots)]
                queue += [each.name, *_parents(each.name), *submodules]
                wanted += [each.name, *submodules]
    if missing:
        hint = "declare its package under [project] dependencies in pyproject.toml, or put it into vendor"
        print("\n".join([*missing, hint]), file=sys.stderr)
        return 1
    made: object = {"imported": sorted(set(wanted)), "modules": sorted(name for name, path in sources.items() if path)}
    if form == "program":
        reason = {"unsupported": "code that reads files when it is imported"}
        made = reason if reads_files else {**_program(sources, project, roots), "imported": sorted(set(wanted))}
    json.dump(made, sys.stdout)
    return 0


def _program(sources: dict[str, str | None], project: str, roots: list[str]) -> dict[str, object]:
    """The modules of a program with their sources, the files that were read, and the directory of the SDK."""
    modules = {}
    for name, path in sources.items():
        if path is not None:
            with open(path, "rb") as file:
                text = importlib.util.decode_source(file.read())
            package = os.path.basename(path) == "__init__.py"
            modules[name] = {"path": _shown(path, project), "is_package": package, "source": text}
        elif any(os.path.isdir(os.path.join(root, *name.split("."))) for root in roots):
            modules[name] = {"path": _shown(name, project), "is_package": True, "source": ""}
    sdk = _source("sandbus", roots)
    read = sorted(path for path in sources.values() if path is not None)
    return {"modules": modules, "read": read, "sdk": None if sdk is None else os.path.dirname(sdk)}


def _shown(path: str, project: str) -> str:
    """The name of a file in tracebacks. It must not be that of the standard library."""
    return "/program/" + os.path.relpath(path, project).replace("../", "")


def _is_sdk(name: str) -> bool:
    return name.partition(".")[0] == "sandbus"


def _source(name: str, roots: list[str]) -> str | None:
    """The source file of a module."""
    for root in roots:
        path = os.path.join(root, *name.split("."))
        for candidate in (os.path.join(path, "__init__.py"), f"{path}.py"):
            if os.path.isfile(candidate):
                return candidate
    return None


def _exists(name: str, roots: list[str]) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in COMPONENT_ONLY:
        return True
    # A directory without an __init__.py is a package, too.
    return _source(name, roots) is not None or any(
        os.path.isdir(os.path.join(root, *name.split("."))) for root in roots
    )


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _parsed(path: str) -> tuple[ast.Module, list[tuple[int, str]]]:
    """A source, and the lines and texts of the compiler's warnings about it."""
    with open(path, "rb") as file, warnings.catch_warnings(record=True) as warned:
        # Before Python 3.12, an invalid escape sequence is a DeprecationWarning.
        warnings.simplefilter("always")
        tree = ast.parse(file.read(), path)
        # Some warnings come from the compiler, not from the parser.
        compile(tree, path, "exec")
        return tree, sorted({(each.lineno, str(each.message)) for each in warned})


def _reads_files(tree: ast.AST) -> bool:
    """Whether a module may read files when it is imported. They exist while a snapshot is made, and never on a prepared
    runtime."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import) and any(alias.name in FILE_READERS for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            if names & FILE_READERS:
                return True
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
            if name in FILE_CALLS:
                return True
        is_later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if not is_later and _reads_files(node):
            return True
    return False


def _imports(tree: ast.Module, path: str, module: str) -> Iterator[Import]:
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    yield from _imports_in(tree, package, False)


def _imports_in(node: ast.AST, package: str, is_optional: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, is_optional)
        elif isinstance(child, ast.ImportFrom):
            name = _absolute_name(child, package)
            if name:
                yield Import(name, child.lineno, is_optional, tuple(alias.name for alias in child.names))
        elif isinstance(child, ast.Try) and any(_catches_import_error(handler) for handler in child.handlers):
            yield from _imports_in(child, package, True)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports_in(child, package, True)
        else:
            yield from _imports_in(child, package, is_optional)


def _absolute_name(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    text = "" if handler.type is None else ast.unparse(handler.type)
    return handler.type is None or any(name in text for name in ("ImportError", "ModuleNotFoundError", "Exception"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
