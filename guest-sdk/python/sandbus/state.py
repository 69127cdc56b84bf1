"""The plugin's own durable state. Values are JSON, unless they are read and written as bytes.

Reads see one snapshot with this invocation's own writes on top. If another invocation has changed what this one
read, this one is thrown away and run again, and so reading, changing and writing a value is safe without locks."""

from __future__ import annotations

from typing import Any

from ._failure import StateError
from ._fit import S64, identifier, non_empty, octets, whole
from ._host import host
from ._json import loads
from ._payload import to_json


def get(key: str, default: Any = None) -> Any:
    """The value of a key, read as JSON; the default if it has none."""
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
    """The value of a key, as it is."""
    return host().state_get(_named(key))


def set_bytes(key: str, value: bytes) -> None:
    """Sets the value of a key, as it is."""
    host().state_set(_named(key), octets(value, f"the value of `{key}`"))


def delete(key: str) -> None:
    """Removes a key. One that doesn't exist is no error."""
    host().state_delete(_named(key))


def exists(key: str) -> bool:
    """Whether a key has a value."""
    return get_bytes(key) is not None


def increment(key: str, delta: int = 1) -> int:
    """Adds to a number that begins at zero, and returns the sum. The sum is read: if another invocation changes the
    number first, this one runs again, and so no two get the same sum."""
    return host().state_increment(_named(key), _added(key, delta))


def add(key: str, delta: int = 1) -> None:
    """Adds to a number that begins at zero, and returns nothing: additions of concurrent invocations merge, and none of
    them runs again. Use it for counters; ``get`` reads them."""
    host().state_add(_named(key), _added(key, delta))


def sequence(name: str) -> int:
    """The next number of a sequence, from 1 on. No two calls ever get the same one, and none runs again for it; an
    invocation that fails leaves a gap. Use it for ids."""
    return host().state_sequence(non_empty(name, "the name of a sequence"))


def _named(key: str) -> str:
    return non_empty(key, "a key of the state")


def _added(key: str, delta: int) -> int:
    """A number that is added. The state's numbers have 64 bits."""
    return whole(delta, f"what is added to `{key}`", S64[0], S64[-1])


def keys(prefix: str = "") -> list[str]:
    """All keys that begin with a prefix, in ascending order."""
    identifier(prefix, "the prefix of keys")
    return [key for key in host().state_keys() if key.startswith(prefix)]
