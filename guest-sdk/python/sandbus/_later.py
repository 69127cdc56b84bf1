"""Work that a handler begins and does not wait for. A coroutine that is never awaited does nothing at all, and Python tells
of it by a warning: here it fails the attempt, since its effects would be lost although the event was acknowledged. So does a
task of `asyncio` that has not ended when its loop has, or that has failed and that nobody asked."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Coroutine
from typing import Any

_unawaited: list[str] = []
#: What loops have left undone, with the exception of one that failed.
_left: list[tuple[str, BaseException | None]] = []


def install() -> None:
    """Takes note of coroutines that are let go without having run."""
    warnings._warn_unawaited_coroutine = _note  # type: ignore[attr-defined]


def _note(coroutine: Coroutine[Any, Any, Any]) -> None:
    _unawaited.append(_place(coroutine))


def _place(coroutine: object) -> str:
    code = getattr(coroutine, "cr_code", None)
    place = f" ({os.path.basename(code.co_filename)}:{code.co_firstlineno})" if code is not None else ""
    return f"`{getattr(coroutine, '__qualname__', coroutine)}`{place}"


def begin() -> None:
    """Begins an invocation."""
    _unawaited.clear()
    _left.clear()


def check() -> None:
    """Raises if the invocation has made a coroutine that nobody awaited."""
    if _unawaited:
        names = ", ".join(dict.fromkeys(_unawaited))
        _unawaited.clear()
        raise RuntimeError(f"the coroutine of {names} was never awaited, and so it has not run")
    if _left:
        what, error = _left[0]
        _left.clear()
        raise RuntimeError(what) from error


def new_event_loop() -> Any:
    """A loop of `asyncio` for a component, which has no sockets to wake it: it runs what is ready and sleeps until a timer."""
    import asyncio

    class Loop(asyncio.BaseEventLoop):
        def __init__(self) -> None:
            super().__init__()
            self._selector = _Sleeper()
            self.set_exception_handler(_failed)

        def _process_events(self, events: object) -> None:
            """Nothing but timers wakes this loop."""

        def _write_to_self(self) -> None:
            """There is no other thread that could."""

        def run_until_complete(self, future: Any) -> Any:
            result = super().run_until_complete(future)
            for task in asyncio.all_tasks(self):
                what = f"the task of {_place(task.get_coro())} was not awaited, and has not ended with its loop"
                _left.append((what, None))
            return result

    return Loop()


class _Sleeper:
    """What stands for the selector of a loop."""

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise RuntimeError("a coroutine waits for what never comes: a component has neither threads nor sockets")
        if timeout > 0:
            time.sleep(timeout)
        return []

    def close(self) -> None:
        """There is nothing to close."""


def _failed(_: object, context: dict[str, Any]) -> None:
    _left.append((str(context.get("message", "a task has failed")), context.get("exception")))


def install_loop() -> None:
    """Gives a component's `asyncio` a loop, if the plugin uses it."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        asyncio.events.new_event_loop = asyncio.new_event_loop = new_event_loop  # type: ignore[attr-defined]


install()
