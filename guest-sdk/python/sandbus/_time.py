"""Times in RFC 3339."""

from __future__ import annotations

from datetime import datetime, timezone


def rfc3339(time: datetime) -> str:
    """A time as the contract writes it. One without a zone would mean different times in different places."""
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone; give it one, such as timezone.utc")
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The time of a text in RFC 3339."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
