"""The time of day and chance, as the host gives them."""

from __future__ import annotations

from datetime import datetime, timezone

from ._fit import whole
from ._host import host


#: The most random bytes of one call, and how many the host gives at a time.
_MOST, _AT_ONCE = 16 << 20, 64 << 10


def now() -> datetime:
    """The time of day."""
    return datetime.fromtimestamp(host().now(), timezone.utc)


def random_bytes(count: int) -> bytes:
    """So many bytes that nobody can foretell."""
    size = whole(count, "the count of random bytes", 0, _MOST)
    parts = [min(_AT_ONCE, size - start) for start in range(0, size, _AT_ONCE)]
    return b"".join(host().random_bytes(part) for part in parts)
