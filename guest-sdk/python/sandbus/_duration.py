"""Durations: a ``timedelta``, or a text such as ``"500ms"``, ``"5s"``, ``"2m"``, ``"1h"``, ``"7d"``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Union

from ._fit import U64

Duration = Union[timedelta, str]

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(duration: Duration | None, what: str) -> int | None:
    """Converts a duration to whole milliseconds."""
    if duration is None:
        return None
    if isinstance(duration, timedelta) and duration >= timedelta(0):
        return round(duration / timedelta(milliseconds=1))
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", duration.strip()) if isinstance(duration, str) else None
    if match is None:
        raise ValueError(f'{what}: {duration!r} is not a duration; give a timedelta or a text such as "5s"')
    value = float(match[1]) * _UNITS[match[2]]
    if value > U64:
        raise ValueError(f"{what}: {duration!r} is too long")
    return round(value)
