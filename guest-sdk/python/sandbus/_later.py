"""Work that a handler begins and does not wait for. A coroutine that is never awaited does nothing at all, and Python tells
of it by a warning: here it fails the attempt, since its effects would be lost although the event was acknowledged."""

from __future__ import annotations

import os
import warnings
from collections.abc import Coroutine
from typing import Any

_unawaited: list[str] = []


def install() -> None:
    """Takes note of coroutines that are let go without having run."""
    warnings._warn_unawaited_coroutine = _note  # type: ignore[attr-defined]


def _note(coroutine: Coroutine[Any, Any, Any]) -> None:
    code = getattr(coroutine, "cr_code", None)
    place = f" ({os.path.basename(code.co_filename)}:{code.co_firstlineno})" if code is not None else ""
    _unawaited.append(f"`{getattr(coroutine, '__qualname__', coroutine)}`{place}")


def begin() -> None:
    """Begins an invocation."""
    _unawaited.clear()


def check() -> None:
    """Raises if the invocation has made a coroutine that nobody awaited."""
    if _unawaited:
        names = ", ".join(dict.fromkeys(_unawaited))
        _unawaited.clear()
        raise RuntimeError(
            f"the coroutine of {names} was never awaited, and so it has not run; a handler is a plain function, and what it "
            "calls is too"
        )


install()
