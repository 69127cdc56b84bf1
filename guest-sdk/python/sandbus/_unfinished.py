"""Detects work that a handler starts and does not wait for. Its effects would be lost although the event is
acknowledged, so it fails the attempt. Three things count as unfinished: a coroutine that is never awaited, for which
Python only prints a warning; a task of `asyncio` that is still running when its loop ends; and a task whose exception
nobody retrieves."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Coroutine
from typing import Any

from ._failure import source_path

_unawaited: list[str] = []
#: Descriptions of tasks that did not end or failed, with the exception of those that failed.
_tasks: list[tuple[str, BaseException | None]] = []


def install() -> None:
    """Records coroutines that are dropped without having run."""
    warnings._warn_unawaited_coroutine = _record  # type: ignore[attr-defined]


def _record(coroutine: Coroutine[Any, Any, Any]) -> None:
    _unawaited.append(_describe(coroutine))


def _describe(coroutine: object) -> str:
    code = getattr(coroutine, "cr_code", None)
    place = f" ({source_path(code.co_filename)}:{code.co_firstlineno})" if code is not None else ""
    return f"`{getattr(coroutine, '__qualname__', coroutine)}`{place}"


def clear() -> None:
    """Forgets everything. Call it at the start of an invocation."""
    _unawaited.clear()
    _tasks.clear()


def check() -> None:
    """Raises an exception if the invocation left work unfinished."""
    if _unawaited:
        names = ", ".join(dict.fromkeys(_unawaited))
        _unawaited.clear()
        raise RuntimeError(f"the coroutine of {names} was never awaited, so it did not run")
    if _tasks:
        what, error = _tasks[0]
        _tasks.clear()
        raise RuntimeError(what) from error


def new_event_loop() -> Any:
    """An `asyncio` event loop for a component. A component has no sockets, so the loop only waits for timers."""
    import asyncio

    class Loop(asyncio.BaseEventLoop):
        def __init__(self) -> None:
            super().__init__()
            self._selector = _Sleeper()
            self.set_exception_handler(_record_failure)

        def _process_events(self, events: object) -> None:
            """There are no events: only timers wake this loop."""

        def _write_to_self(self) -> None:
            """There is no other thread that needs to wake this loop."""

        def run_until_complete(self, future: Any) -> Any:
            result = super().run_until_complete(future)
            for task in asyncio.all_tasks(self):
                task_name = _describe(task.get_coro())
                what = f"the task of {task_name} was not awaited, and was still running when its loop ended"
                _tasks.append((what, None))
            return result

    return Loop()


class _Sleeper:
    """Replaces the selector of an event loop."""

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise RuntimeError(
                "a coroutine waits for something that cannot happen: a component has no threads or sockets"
            )
        if timeout > 0:
            time.sleep(timeout)
        return []

    def close(self) -> None:
        """There is nothing to close."""


def _record_failure(_: object, context: dict[str, Any]) -> None:
    _tasks.append((str(context.get("message", "a task failed")), context.get("exception")))


def install_loop() -> None:
    """Makes `asyncio` use the component's event loop, if the plugin imports `asyncio`."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        asyncio.events.new_event_loop = asyncio.new_event_loop = new_event_loop  # type: ignore[attr-defined]


install()
