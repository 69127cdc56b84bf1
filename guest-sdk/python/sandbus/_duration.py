"""Durations: a ``timedelta``, or a text such as ``"500ms"``, ``"5s"``, ``"2m"``, ``"1h"``, ``"7d"``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Union

Duration = Union[timedelta, str]

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

#: The longest: a hundred years, of 365.25 days.
_LONGEST = 36_525 * _UNITS["d"]


def milliseconds(duration: Duration | None, what: str) -> int | None:
    """Converts a duration to whole milliseconds."""
    if duration is None:
        return None
    value = _parse(duration)
    if value is None:
        raise ValueError(f'{what}: {duration!r} is not a duration; give a timedelta or a text such as "5s"')
    if value > _LONGEST:
        raise ValueError(f'{what}: {duration!r} is too long; at most "36525d" is allowed')
    return round(value)


def _parse(duration: Duration) -> float | None:
    if isinstance(duration, timedelta):
        return duration / timedelta(milliseconds=1) if duration >= timedelta(0) else None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", duration.strip()) if isinstance(duration, str) else None
    return None if match is None else float(match[1]) * _UNITS[match[2]]
