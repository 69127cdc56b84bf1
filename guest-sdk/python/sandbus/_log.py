"""Log lines: those of the standard library's ``logging`` reach the host, which adds the plugin's name, the event's
id and the attempt."""

from __future__ import annotations

import logging
from typing import Any

from . import _host
from ._failure import describe, told
from ._fit import well_formed

#: A logger for a plugin. Any other of ``logging`` does as well.
log = logging.getLogger("plugin")


#: As much of a line as the host is sent. It keeps less of it.
_CHARACTERS = 32_768


class HostFormatter(logging.Formatter):
    """Writes exceptions as reasons have them: with the plugin's own lines, and without those of the SDK."""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return describe(ei[1], "") if ei[1] is not None else ""


class HostHandler(logging.Handler):
    """Hands lines to the host. Nothing that is logged fails a handler."""

    def emit(self, record: logging.LogRecord) -> None:
        if _host.is_there():
            context = "" if record.name == log.name else record.name
            text = self._text(record)
            text = text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
            _host.host().log(_level(record.levelno), well_formed(context), well_formed(text))

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # What is logged may be anything, also what fails to make a text of itself.
            args = record.args if isinstance(record.args, tuple) else (record.args,)
            parts = ", ".join(told(arg) for arg in args or ())
            return f"{told(record.msg)} ({parts}) [{type(error).__name__}: {told(error)}]"


def _level(number: int) -> str:
    # ``critical`` is left to the host's own use: it means that a trap follows.
    for least, name in (
        (logging.ERROR, "error"),
        (logging.WARNING, "warn"),
        (logging.INFO, "info"),
        (logging.DEBUG, "debug"),
    ):
        if number >= least:
            return name
    return "trace"


_handler = HostHandler()
_handler.setFormatter(HostFormatter())


def start() -> None:
    """Lets all lines reach the host. Repeating it does nothing."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
        root.setLevel(logging.DEBUG)


def stop() -> None:
    """Takes back what ``start`` did."""
    root = logging.getLogger()
    root.removeHandler(_handler)
    root.setLevel(logging.WARNING)
