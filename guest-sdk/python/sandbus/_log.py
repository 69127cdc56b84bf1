"""Sends the log lines of the standard library's ``logging`` to the host, which adds the plugin's name, the event's id
and the attempt."""

from __future__ import annotations

import logging
from typing import Any

from . import _host
from ._failure import describe, to_text
from ._fit import well_formed

#: A logger for plugins. Any other logger of ``logging`` works, too.
log = logging.getLogger("plugin")


#: The maximum length of a line that is sent to the host. The host truncates it further.
_MAX_CHARACTERS = 32_768


class HostFormatter(logging.Formatter):
    """Formats exceptions as in the reasons of failures: with the lines of the plugin's code, without those of the
    SDK."""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return describe(ei[1], "") if ei[1] is not None else ""


class HostHandler(logging.Handler):
    """Sends lines to the host. A value that cannot be formatted does not fail the handler."""

    def emit(self, record: logging.LogRecord) -> None:
        if _host.is_installed():
            context = "" if record.name == log.name else record.name
            text = self._text(record)
            text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
            _host.host().log(_level(record.levelno), well_formed(context), well_formed(text))

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # Arguments can be any values, and their `__str__` may fail.
            args = record.args if isinstance(record.args, tuple) else (record.args,)
            parts = ", ".join(to_text(arg) for arg in args or ())
            return f"{to_text(record.msg)} ({parts}) [{type(error).__name__}: {to_text(error)}]"


def _level(number: int) -> str:
    # The host gives ``critical`` a meaning of its own: a trap follows.
    for threshold, name in (
        (logging.ERROR, "error"),
        (logging.WARNING, "warn"),
        (logging.INFO, "info"),
        (logging.DEBUG, "debug"),
    ):
        if number >= threshold:
            return name
    return "trace"


_handler = HostHandler()
_handler.setFormatter(HostFormatter())


def start() -> None:
    """Starts sending all lines to the host. Repeated calls have no effect."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
        root.setLevel(logging.DEBUG)


def stop() -> None:
    """Undoes ``start``."""
    root = logging.getLogger()
    root.removeHandler(_handler)
    root.setLevel(logging.WARNING)
