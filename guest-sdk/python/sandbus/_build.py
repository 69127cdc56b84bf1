"""Finds the modules that a component must contain: python3 -I _build.py MODULE PROJECT ROOT…

A component cannot import anything after it is built. So this program finds every import in the plugin's sources,
including imports inside functions, and writes the modules to standard output; the component's entry imports them. If a
source of the project imports a module that cannot be found, it reports the file and line and fails."""

from __future__ import annotations

import ast
import json
import os
import sys
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


@dataclass(frozen=True)
class Import:
    """An import in a source file."""

    name: str
    line: int
    #: Whether the source handles a failed import, or imports only for type checkers.
    is_optional: bool
    #: The imported names, which may be submodules.
    names: tuple[str, ...] = ()


def main(module: str, project: str, roots: list[str]) -> int:
    others = tuple(os.path.join(project, name) + os.sep for name in ("vendor", ".sandbus"))
    queue, wanted, missing = [module], [*LAZY_IMPORTS], []
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        path = None if name in seen else _source(name, roots)
        seen.add(name)
        if path is None:
            continue
        try:
            found = list(_imports(path, name))
        except SyntaxError as error:
            if sys.version_info < COMPONENT_VERSION:
                continue  # The syntax may be newer than this Python. If it is wrong, the build reports it.
            print(f"{os.path.relpath(path, project)}:{error.lineno}: {error.msg}", file=sys.stderr)
            return 1
        for each in found:
            exists = _exists(each.name, roots)
            is_own = path.startswith(project + os.sep) and not path.startswith(others)
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
    json.dump(sorted(set(wanted)), sys.stdout)
    return 0


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


def _imports(path: str, module: str) -> Iterator[Import]:
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
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
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
