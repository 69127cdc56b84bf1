"""Log lines: those of the standard library's ``logging`` reach the host, which adds the plugin's name, the event's
id and the attempt."""

from __future__ import annotations

import logging

from . import _host
from ._fit import well_formed

#: A logger for a plugin. Any other of ``logging`` does as well.
log = logging.getLogger("plugin")


class HostHandler(logging.Handler):
    """Hands lines to the host."""

    def emit(self, record: logging.LogRecord) -> None:
        if _host.is_there():
            context = "" if record.name == log.name else record.name
            _host.host().log(_level(record.levelno), well_formed(context), well_formed(self.format(record)))


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
