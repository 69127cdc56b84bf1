"""The plugin's own durable state. Values are JSON, unless they are read and written as bytes.

Reads see one snapshot and this invocation's own writes. If another invocation changes a value that this one has read,
this invocation is discarded and runs again. So reading, changing and writing a value is safe without locks."""

from __future__ import annotations

from typing import Any

from ._failure import StateError
from ._fit import S64, identifier, integer, non_empty, to_bytes
from ._host import host
from ._json import loads
from ._payload import to_json


def get(key: str, default: Any = None) -> Any:
    """The value of a key, parsed as JSON, or the default if the key does not exist."""
    value = get_bytes(key)
    if value is None:
        return default
    try:
        return loads(value)
    except ValueError as error:
        raise StateError("unreadable", f"the value of `{key}` is not JSON; read it with get_bytes ({error})") from None


def set(key: str, value: Any) -> None:
    """Sets the value of a key, as JSON."""
    set_bytes(key, to_json(value, f"the value of `{key}`"))


def get_bytes(key: str) -> bytes | None:
    """The value of a key as bytes, or None if the key does not exist."""
    return host().state_get(_key(key))


def set_bytes(key: str, value: bytes) -> None:
    """Sets the value of a key to bytes."""
    host().state_set(_key(key), to_bytes(value, f"the value of `{key}`"))


def delete(key: str) -> None:
    """Deletes a key. A key that does not exist is not an error."""
    host().state_delete(_key(key))


def exists(key: str) -> bool:
    """Whether a key has a value."""
    return get_bytes(key) is not None


def increment(key: str, delta: int = 1) -> int:
    """Adds to a number that starts at zero, and returns the sum. This counts as a read: if another invocation changes
    the number first, this one runs again. So no two invocations get the same sum."""
    return host().state_increment(_key(key), _delta(key, delta))


def add(key: str, delta: int = 1) -> None:
    """Adds to a number that starts at zero, and returns nothing. Concurrent additions are merged and do not make an
    invocation run again. Use it for counters; ``get`` reads them."""
    host().state_add(_key(key), _delta(key, delta))


def sequence(name: str) -> int:
    """The next number of a sequence, which starts at 1. No two calls return the same number, and a call does not make
    an invocation run again. An invocation that fails leaves a gap. Use it for ids."""
    return host().state_sequence(non_empty(name, "the name of a sequence"))


def _key(key: str) -> str:
    return non_empty(key, "a key of the state")


def _delta(key: str, delta: int) -> int:
    """Checks a number to add. The state's numbers have 64 bits."""
    return integer(delta, f"the number to add to `{key}`", S64[0], S64[-1])


def keys(prefix: str = "") -> list[str]:
    """All keys that start with a prefix, in ascending order."""
    identifier(prefix, "the prefix of keys")
    return [key for key in host().state_keys() if key.startswith(prefix)]
