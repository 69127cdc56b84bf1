"""The plugin's configuration: its declared defaults, overridden by the operator's sidecar."""

from __future__ import annotations

from ._fit import non_empty
from ._host import host


def get(key: str) -> str | None:
    """The value of a key, or None."""
    return host().config_get(non_empty(key, "a key of the configuration"))


def require(key: str) -> str:
    """The value of a key. Raises a ``KeyError`` if it has none."""
    value = get(key)
    if value is None:
        raise KeyError(f"the configuration has no `{key}`; set it in the sidecar's [config]")
    return value
