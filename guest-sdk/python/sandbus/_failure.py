"""Exceptions of handlers, and the failures that the contract makes of them."""

from __future__ import annotations

import os
import traceback

from . import _wire as wire
from ._duration import Duration, milliseconds
from ._renamed import renamed_options


@renamed_options(
    "Retry is the exception that retries a delivery, and the policy is RetryPolicy",
    {
        "attempts": "RetryPolicy(max_attempts=…)",
        "first_delay": "RetryPolicy(initial_delay=…)",
        "factor": "RetryPolicy(backoff_multiplier=…)",
        "max_delay": "RetryPolicy(max_delay=…)",
        "jitter": "RetryPolicy(jitter=…)",
        "permanent": "RetryPolicy(non_retryable=…)",
    },
)
class Retry(Exception):
    """Raise it in a handler to retry the delivery, after a delay or as the subscription's retry policy says."""

    def __init__(self, reason: object = "the handler gave no reason", delay: Duration | None = None) -> None:
        super().__init__(to_text(reason))
        self.delay_ms = milliseconds(delay, "delay")


class Reject(Exception):
    """Raise it in a handler to make the delivery a dead letter at once."""

    def __init__(self, reason: object = "the handler gave no reason") -> None:
        super().__init__(to_text(reason))


class BusError(Exception):
    """The bus refused a call. If the handler does not catch it, the delivery is rejected."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        #: ``denied``, ``invalid`` or ``limit``.
        self.kind = kind


class StateError(Exception):
    """The state refused a call. If the handler does not catch it, the delivery is rejected. If the kind is ``other``,
    the delivery is retried, because another attempt may succeed."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        #: ``unreadable``, ``not-a-number``, ``out-of-range``, ``limit`` or ``other``.
        self.kind = kind


class SendError(Exception):
    """A request failed, or ``success()`` found another status. If the handler does not catch the error, the
    delivery is retried. The delivery is rejected if the server is not granted, if the request is malformed, or if the
    status is from 400 to 499, except 408, 425 and 429."""

    def __init__(self, kind: str, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        #: ``denied``, ``invalid``, ``timeout``, ``unreachable`` or ``status``.
        self.kind = kind
        #: The status, if ``success()`` refused it.
        self.status = status

    @property
    def permanent(self) -> bool:
        """Whether another attempt cannot succeed."""
        if self.status is None:
            return self.kind in ("denied", "invalid")
        return 400 <= self.status < 500 and self.status not in (408, 425, 429)


def failure(error: BaseException) -> wire.Failure:
    """Converts an exception of a handler to the contract's failure."""
    if isinstance(error, Retry):
        return wire.Failure(rejected=False, reason=to_text(error), delay_ms=error.delay_ms)
    if _is_rejection(error):
        return wire.Failure(rejected=True, reason=to_text(error))
    if isinstance(error, SendError):
        return wire.Failure(rejected=False, reason=to_text(error))
    return wire.Failure(rejected=False, reason=describe(error))


def cause(error: BaseException) -> str | None:
    """The cause of a failure: ``request`` for a failed request to another service, ``out-of-memory``, or ``exception``
    for a mistake in the handler. None if the handler chose the outcome itself."""
    if isinstance(error, SendError):
        return "request"
    if isinstance(error, MemoryError):
        return "out-of-memory"
    return None if isinstance(error, Retry) or _is_rejection(error) else "exception"


def _is_rejection(error: BaseException) -> bool:
    """Whether another attempt cannot succeed. If the bus or the state refuses a call, it refuses the same call
    again."""
    if isinstance(error, SendError):
        return error.permanent
    return isinstance(error, (Reject, BusError)) or (isinstance(error, StateError) and error.kind != "other")


def describe(error: BaseException, prefix: str = "uncaught ") -> str:
    """Describes an exception, with its causes and the lines of the plugin's code."""
    lines: list[str] = []
    current: BaseException | None = error
    while current is not None and len(lines) < _MAX_LINES:
        # The text of a syntax error has its position, which the frames have.
        text = to_text(current.msg if isinstance(current, SyntaxError) else current)
        lines.append(f"{prefix if current is error else 'caused by '}{type(current).__name__}: {text}")
        lines += [f"    {to_text(note)}" for note in getattr(current, "__notes__", ())]
        lines += _frames(current)
        for each in getattr(current, "exceptions", ())[:_MAX_GROUP]:
            lines += [f"one of them {type(each).__name__}: {to_text(each)}", *_frames(each)]
        hint = _hint(current)
        if hint is not None:
            lines.append(f"    {hint}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(lines)


def _hint(error: BaseException) -> str | None:
    """Advice for common errors."""
    if isinstance(error, ModuleNotFoundError):
        return _MISSING_MODULE_HINT
    if isinstance(error, OSError) and type(error).__name__ == "gaierror":
        return "a component has no sockets; send requests with sandbus.client"
    if isinstance(error, OSError) and "does not support processes" in to_text(error):
        return "a component cannot start processes"
    if isinstance(error, RuntimeError) and to_text(error) == "can't start new thread":
        return "a component has one thread; publish an event for work to be done elsewhere"
    if isinstance(error, RecursionError):
        return "a function calls itself endlessly, or more often than the stack allows; use a loop and a list instead"
    return None


def to_text(value: object) -> str:
    """Converts a value to text. If its ``__str__`` fails, the text says so."""
    try:
        return str(value)
    except BaseException as error:  # Even `sys.exit()`.
        return f"[a {type(value).__name__} that cannot be shown: {type(error).__name__}]"


_OWN = os.path.dirname(os.path.abspath(__file__))
#: The directory of the standard library, from a code object: frozen modules have no file.
_STDLIB = os.path.dirname(traceback.walk_tb.__code__.co_filename)
_MISSING_MODULE_HINT = (
    "a component contains only the modules that were imported when it was built: those that import statements of the "
    "plugin's sources name, at the top or in functions"
)
#: The directory of the sources of a prepared runtime's program (`_build`).
_PROGRAM = "/program/"
#: The directories that a build mounts as /1, /2 and so on, from the project. The entry module of a build sets them.
ROOTS: list[str] = []
#: The maximum number of exceptions that are described of a group.
_MAX_GROUP = 8
#: The maximum number of lines that describe an error and its causes.
_MAX_LINES = 64
#: The maximum number of lines of a traceback.
_MAX_FRAMES = 8


def _frames(error: BaseException) -> list[str]:
    if isinstance(error, SyntaxError) and error.filename:
        return [f"    at {source_path(error.filename)}:{error.lineno}"]
    # Reads the frames directly: `traceback` would look for source files, and a component has none.
    found = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(code, line) for code, line in found if not _is_foreign(code.co_filename)]
    # If the error is outside of the plugin's code, show the standard library's frames.
    own = own or [(code, line) for code, line in found if not code.co_filename.startswith(_OWN)]
    return [f"    at {code.co_name} ({source_path(code.co_filename)}:{line})" for code, line in own[-_MAX_FRAMES:]]


def source_path(path: str) -> str:
    """The path of a plugin's source file, from the directory of its project."""
    if path.startswith(_PROGRAM):
        return path[len(_PROGRAM) :]
    mounted, _, rest = path[1:].partition("/")
    if path.startswith("/") and mounted.isdigit() and rest:
        index = int(mounted) - 1
        return os.path.join(ROOTS[index] if 0 <= index < len(ROOTS) else "", rest)
    return os.path.basename(path)


def _is_foreign(path: str) -> bool:
    """Whether a file belongs to the SDK or to Python, and not to the plugin or a package."""
    return path.startswith((_OWN, "<frozen ")) or (path.startswith(_STDLIB) and "site-packages" not in path)
