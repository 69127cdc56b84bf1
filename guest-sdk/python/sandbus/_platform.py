"""The time and random bytes from the host."""

from __future__ import annotations

from datetime import datetime, timezone

from ._fit import integer
from ._host import host


#: The maximum number of random bytes per call.
_MAX_BYTES = 16 << 20
#: The number of random bytes that the host is asked for at a time.
_CHUNK = 64 << 10


def now() -> datetime:
    """The current time."""
    return datetime.fromtimestamp(host().now(), timezone.utc)


def random_bytes(count: int) -> bytes:
    """Cryptographically secure random bytes."""
    size = integer(count, "the count of random bytes", 0, _MAX_BYTES)
    chunks = [min(_CHUNK, size - start) for start in range(0, size, _CHUNK)]
    return b"".join(host().random_bytes(chunk) for chunk in chunks)
