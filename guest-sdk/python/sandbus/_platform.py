"""The time of day and chance, as the host gives them."""

from __future__ import annotations

from datetime import datetime, timezone

from ._fit import U32, whole
from ._host import host


def now() -> datetime:
    """The time of day."""
    return datetime.fromtimestamp(host().now(), timezone.utc)


def random_bytes(count: int) -> bytes:
    """So many bytes that nobody can foretell."""
    return host().random_bytes(whole(count, "the count of random bytes", 0, U32))
