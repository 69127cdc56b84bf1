"""Errors for former names, which say the present ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def renamed_options(what: str, names: Mapping[str, str]) -> Callable[[C], C]:
    """Makes a class refuse a keyword argument under its former name."""

    def decorate(wanted: C) -> C:
        initialize = wanted.__init__  # type: ignore[misc]

        @functools.wraps(initialize)
        def checked(self: Any, *arguments: Any, **options: Any) -> None:
            for name in options:
                if name in names:
                    raise TypeError(f"{what}: `{name}` was renamed to `{names[name]}`")
            initialize(self, *arguments, **options)

        wanted.__init__ = checked  # type: ignore[misc]
        return wanted

    return decorate


def renamed_members(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a module whose members were renamed."""

    def member(name: str) -> Any:
        if name in names:
            # `from MODULE import NAME` would replace the text of an AttributeError.
            raise ImportError(f"`{module}.{name}` was renamed to `{module}.{names[name]}`")
        raise AttributeError(f"module `{module}` has no attribute `{name}`")

    return member
