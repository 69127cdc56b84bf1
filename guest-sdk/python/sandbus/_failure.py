"""How a handler fails: tried again, or given up."""

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
    """Raise it in a handler to retry the delivery: when the subscription's retry policy says, or after a delay."""

    def __init__(self, reason: object = "the handler gave no reason", delay: Duration | None = None) -> None:
        super().__init__(told(reason))
        self.delay_ms = milliseconds(delay, "delay")


class Reject(Exception):
    """Raise it in a handler to make the delivery a dead letter at once."""

    def __init__(self, reason: object = "the handler gave no reason") -> None:
        super().__init__(told(reason))


class BusError(Exception):
    """The bus refused a call. Uncaught, it rejects the delivery."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        #: ``denied``, ``invalid`` or ``limit``.
        self.kind = kind


class StateError(Exception):
    """The state refused a call. Uncaught, it rejects the delivery; of the kind ``other`` the delivery is retried, since
    another attempt may succeed."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        #: ``unreadable``, ``not-a-number``, ``out-of-range``, ``limit`` or ``other``.
        self.kind = kind


class SendError(Exception):
    """A request failed, or ``success()`` met another status. Uncaught, the delivery is retried, except after a denial and
    after a status from 400 to 499 other than 408, 425 and 429."""

    def __init__(self, kind: str, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        #: ``denied``, ``invalid``, ``timeout``, ``unreachable`` or ``status``.
        self.kind = kind
        #: The status of an answer that was not wanted.
        self.status = status

    @property
    def permanent(self) -> bool:
        """Whether another attempt cannot succeed."""
        if self.status is None:
            return self.kind in ("denied", "invalid")
        return 400 <= self.status < 500 and self.status not in (408, 425, 429)


def failure(error: BaseException) -> wire.Failure:
    """What a handler has raised, as the contract has it."""
    if isinstance(error, Retry):
        return wire.Failure(rejected=False, reason=told(error), delay_ms=error.delay_ms)
    if _is_rejection(error):
        return wire.Failure(rejected=True, reason=told(error))
    if isinstance(error, SendError):
        return wire.Failure(rejected=False, reason=told(error))
    return wire.Failure(rejected=False, reason=describe(error))


def kind(error: BaseException) -> str | None:
    """What kind of failure it is, where the handler has not said it itself: a mistake in the handler, or a request to
    another service that has no answer, or not one that was wanted."""
    if isinstance(error, SendError):
        return "request"
    return None if isinstance(error, Retry) or _is_rejection(error) else "exception"


def _is_rejection(error: BaseException) -> bool:
    """Whether another attempt cannot succeed. What the bus or the state refuses now, it will refuse at the next attempt
    too."""
    if isinstance(error, SendError):
        return error.permanent
    return isinstance(error, (Reject, BusError)) or (isinstance(error, StateError) and error.kind != "other")


def describe(error: BaseException, begin: str = "uncaught ") -> str:
    """What was raised, with its causes and the plugin's own lines."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(lines) < _LINES:
        lines.append(f"{begin if cause is error else 'caused by '}{type(cause).__name__}: {told(cause)}")
        lines += [f"    {told(note)}" for note in getattr(cause, "__notes__", ())]
        lines += _frames(cause)
        for each in getattr(cause, "exceptions", ())[:_GROUP]:
            lines += [f"one of them {type(each).__name__}: {told(each)}", *_frames(each)]
        hint = _hint(cause)
        if hint is not None:
            lines.append(f"    {hint}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(lines)


def _hint(error: BaseException) -> str | None:
    """What to do about an error, where that is known."""
    if isinstance(error, ModuleNotFoundError):
        return _ABSENT
    if isinstance(error, OSError) and type(error).__name__ == "gaierror":
        return "a component has no sockets; send requests with sandbus.client"
    if isinstance(error, OSError) and "does not support processes" in told(error):
        return "a component cannot start processes"
    if isinstance(error, RuntimeError) and told(error) == "can't start new thread":
        return "a component has one thread; publish an event for work to be done elsewhere"
    if isinstance(error, RecursionError):
        return "a function calls itself endlessly, or more often than the stack allows; use a loop and a list instead"
    return None


def told(value: object) -> str:
    """A value as a text, also one that fails to make a text of itself."""
    try:
        return str(value)
    except BaseException as error:  # Also `sys.exit()` in it.
        return f"[a {type(value).__name__} that cannot be shown: {type(error).__name__}]"


_OWN = os.path.dirname(os.path.abspath(__file__))
#: Where the standard library is, as its code says: some of its modules are frozen and have no file.
_STANDARD = os.path.dirname(traceback.walk_tb.__code__.co_filename)
#: What is told besides of a module that is missing when a handler runs.
_ABSENT = (
    "a component has the modules that were imported when it was built: those that the plugin's sources import, in "
    "functions as well, by their names"
)
#: How many exceptions are told of a group.
_GROUP = 8
#: How many lines are told of an error and its causes.
_LINES = 64
#: How many lines of a traceback are worth their place in a reason.
_FRAMES = 8


def _frames(error: BaseException) -> list[str]:
    # Of the frames themselves: `traceback` would look for the sources, and a component has no files.
    found = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(code, line) for code, line in found if not _is_foreign(code.co_filename)]
    # What lies within the standard library is of interest where nothing else is.
    own = own or [(code, line) for code, line in found if not code.co_filename.startswith(_OWN)]
    return [f"    at {code.co_name} ({os.path.basename(code.co_filename)}:{line})" for code, line in own[-_FRAMES:]]


def _is_foreign(path: str) -> bool:
    """Whether a file belongs to the SDK or to Python, and not to the plugin or a package."""
    return path.startswith((_OWN, "<frozen ")) or (path.startswith(_STANDARD) and "site-packages" not in path)
