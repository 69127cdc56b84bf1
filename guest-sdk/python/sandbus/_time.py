"""Times in RFC 3339."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

#: RFC 3339, section 5.6. Only ASCII digits are valid.
_FORM = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)


def rfc3339(time: datetime) -> str:
    """Formats a time for the contract. A time without a time zone is ambiguous, so it is refused."""
    if not isinstance(time, datetime):
        raise TypeError(f"a time must be a datetime with a time zone, not {type(time).__name__}")
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone; give it one, such as timezone.utc")
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """Parses a time in RFC 3339, and keeps its offset. A leap second is valid at the end of a month in UTC, and becomes
    the next second. Digits beyond microseconds are dropped."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time in RFC 3339, such as 2030-01-31T12:00:00Z")
    date, minute, second, fraction, offset = found.groups()
    is_leap = second == "60"
    try:
        time = datetime.fromisoformat(f"{date}T{minute}:{'59' if is_leap else second}{offset or '+00:00'}")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time in RFC 3339: {error}") from None
    if is_leap:
        time = time.replace(second=59) + timedelta(seconds=1)
        utc = time.astimezone(timezone.utc)
        if (utc.day, utc.hour, utc.minute) != (1, 0, 0):
            raise ValueError(f"{text!r} has a leap second that is not at the end of a month in UTC")
    return time + timedelta(microseconds=int((fraction or "")[:6].ljust(6, "0")))
