"""Errors for old names, which say the new ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def renamed_options(what: str, names: Mapping[str, str]) -> Callable[[C], C]:
    """Makes a class refuse keyword arguments under their old names."""

    def decorate(decorated: C) -> C:
        initialize = decorated.__init__  # type: ignore[misc]

        @functools.wraps(initialize)
        def checked(self: Any, *arguments: Any, **options: Any) -> None:
            for name in options:
                if name in names:
                    raise TypeError(f"{what}: `{name}` was renamed to `{names[name]}`")
            initialize(self, *arguments, **options)

        decorated.__init__ = checked  # type: ignore[misc]
        return decorated

    return decorate


def renamed_members(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a module whose members were renamed."""

    def member(name: str) -> Any:
        if name in names:
            # Not an AttributeError, because `from MODULE import NAME` would replace its text.
            raise ImportError(f"`{module}.{name}` was renamed to `{module}.{names[name]}`")
        raise AttributeError(f"module `{module}` has no attribute `{name}`")

    return member
