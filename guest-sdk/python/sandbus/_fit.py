"""Values that cross the boundary are made fit for the contract, or refused where the handler's own line can be named: the
glue has no exceptions, and what it cannot take ends the whole instance."""

from __future__ import annotations

import dataclasses

# In a component no module can be imported later than at the build.
import encodings.utf_16_le  # noqa: F401
from typing import Any, TypeVar

T = TypeVar("T")

#: The largest numbers of the contract.
U16, U32, U64 = 2**16 - 1, 2**32 - 1, 2**64 - 1
S64 = range(-(2**63), 2**63)


def well_formed(text: str) -> str:
    """A text as UTF-8 can carry it: surrogates that are a pair become its character, and each that stands alone is
    U+FFFD."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def carried(value: T) -> T:
    """A value all of whose texts are well-formed; bytes are left alone."""
    return _carried(value)


def _carried(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_carried(each) for each in value)
    if isinstance(value, dict):
        return {_carried(name): _carried(field) for name, field in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _carried(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


def identifier(value: Any, what: str) -> str:
    """A text that identifies something, such as a key or a type. It is never changed: two keys that differ in a lone
    surrogate would become one."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if value != well_formed(value):
        raise ValueError(f"{what} has a lone surrogate: {value[:80]!a}")
    return value


def non_empty(value: Any, what: str) -> str:
    """An identifier that has at least one character. An empty one is usually a variable that was not set."""
    if identifier(value, what) == "":
        raise ValueError(f"{what} must not be empty")
    return value


def optional_text(value: Any, what: str) -> str | None:
    """A text that may be left out."""
    if value is None or isinstance(value, str):
        return None if value is None else well_formed(value)
    raise TypeError(f"{what} must be a str, not {type(value).__name__}")


def octets(value: Any, what: str) -> bytes:
    """Bytes, from anything that has them."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{what} must be bytes, not {type(value).__name__}")


def whole(value: Any, what: str, least: int, most: int) -> int:
    """A whole number between two others."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    shown = value if isinstance(value, (int, float)) else type(value).__name__
    raise ValueError(f"{what} must be a whole number from {least} to {most}, not {shown}")


def optional_whole(value: Any, what: str, least: int, most: int) -> int | None:
    """A whole number that may be left out."""
    return None if value is None else whole(value, what, least, most)
