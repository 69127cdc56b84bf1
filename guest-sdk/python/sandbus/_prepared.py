"""A prepared runtime: Python and the SDK without a plugin. ``sandbus dev`` and ``sandbus test`` compile it once, and give
each instance the program that ``_build`` makes of a project."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from wit_world.imports import logging, program

from ._component import component
from ._failure import describe

#: Parts of the standard library that act when they are imported, or that only a computer with a screen needs.
_LEFT_OUT = {"__main__", "_ios_support", "_pyrepl", "antigravity", "ensurepip", "idlelib", "lib2to3", "pydoc_data"}
_LEFT_OUT |= {"test", "this", "tkinter", "turtle", "turtledemo", "venv"}


def _import_standard_library() -> None:
    """Imports the whole standard library, because an instance has no files to import it from."""
    for name in sorted(sys.stdlib_module_names - _LEFT_OUT):
        _import_all(name)


def _import_all(name: str) -> None:
    """Imports a module and its submodules. Some need what only other platforms have."""
    with contextlib.suppress(BaseException):
        module = importlib.import_module(name)
        for each in pkgutil.iter_modules(getattr(module, "__path__", ())):
            if each.name not in _LEFT_OUT and "test" not in each.name:
                _import_all(f"{name}.{each.name}")


def _imports_of(module: ModuleType) -> set[str]:
    """The modules that a module has imported, as far as its globals show: modules, and what is defined in them."""
    values = list(vars(module).values())
    names = {each.__name__ for each in values if isinstance(each, ModuleType)}
    names |= {each for each in (getattr(value, "__module__", None) for value in values) if isinstance(each, str)}
    return names


def _remove_unimported(imported: list[str]) -> None:
    """Removes the modules that a snapshot of the program would not have, so that a missing import is found here too."""
    kept, queue = set(_SDK_MODULES), list(imported)
    while queue:
        name = queue.pop()
        if name not in kept:
            kept.add(name)
            queue += _IMPORTS.get(name, ())
            queue += [name.rpartition(".")[0]] if "." in name else []
    for name in _IMPORTS.keys() - kept:
        sys.modules.pop(name, None)


class _Modules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the modules of a program: ``path``, ``is_package`` and ``source`` by module name."""

    def __init__(self, modules: dict[str, dict[str, Any]]) -> None:
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._modules:
            return None
        file = self._modules[name]["path"]
        spec = importlib.util.spec_from_loader(name, self, origin=file, is_package=self.is_package(name))
        if spec is not None:
            # Sets the module's `__file__`.
            spec.has_location = True
        return spec

    def is_package(self, name: str) -> bool:
        return bool(self._modules[name]["is_package"])

    def get_source(self, name: str) -> str:
        return str(self._modules[name]["source"])

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        with warnings.catch_warnings():
            # The build has printed them. Here they would be in the log of each call.
            warnings.simplefilter("ignore", SyntaxWarning)
            code = compile(self.get_source(name), self._modules[name]["path"], "exec")
        exec(code, module.__dict__)


_exported: tuple[type, type, type] | None = None


def _loaded() -> tuple[type, type, type]:
    """Runs the program before the first call. It has no host then, like a plugin whose snapshot is made."""
    global _exported
    if _exported is None:
        try:
            _exported = _load()
        except BaseException as error:
            # The host reads it as the reason of the trap that follows.
            logging.log(logging.Level.CRITICAL, "load", describe(error))
            raise
    return _exported


def _load() -> tuple[type, type, type]:
    made = json.loads(program.source())
    _remove_unimported(made["imported"])
    sys.meta_path.insert(0, _Modules(made["modules"]))
    module = importlib.import_module(made["module"])
    try:
        plugin = module.plugin
    except AttributeError:
        raise ImportError(f"the module `{made['module']}` has no `plugin`") from None
    return component(plugin.described_by(*made["described"]))


class Descriptor:
    def describe(self) -> Any:
        return _loaded()[0]().describe()


class EventHandler:
    def handle(self, delivery: Any) -> None:
        _loaded()[1]().handle(delivery)


class HttpHandler:
    def handle(self, request: Any) -> Any:
        return _loaded()[2]().handle(request)


#: The modules that every plugin has.
_SDK_MODULES = frozenset(sys.modules)
_import_standard_library()
#: What each module of the standard library has imported.
_IMPORTS = {name: _imports_of(module) for name, module in list(sys.modules.items()) if name not in _SDK_MODULES}
