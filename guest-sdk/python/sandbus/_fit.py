"""Checks and converts values before they cross the contract. The generated glue raises no exceptions: a value that it
cannot convert traps the instance. Refusing the value here raises an exception at the handler's own line."""

from __future__ import annotations

import dataclasses

# Modules can only be imported when the component is built.
import encodings.utf_16_le  # noqa: F401
from typing import Any, TypeVar

T = TypeVar("T")

#: The limits of the contract's integers.
U16, U32, U64 = 2**16 - 1, 2**32 - 1, 2**64 - 1
S64 = range(-(2**63), 2**63)


def well_formed(text: str) -> str:
    """Makes a text valid in UTF-8: joins surrogate pairs, and replaces lone surrogates by U+FFFD."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def with_well_formed_texts(value: T) -> T:
    """Makes all texts in a value well-formed."""
    return _with_well_formed_texts(value)


def _with_well_formed_texts(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_with_well_formed_texts(each) for each in value)
    if isinstance(value, dict):
        return {_with_well_formed_texts(name): _with_well_formed_texts(field) for name, field in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: _with_well_formed_texts(getattr(value, name)) for name in names})
    return value


def identifier(value: Any, what: str) -> str:
    """Checks a text that identifies something, such as a key or a type. Lone surrogates are refused and not replaced,
    because replacing them could make two different keys equal."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if value != well_formed(value):
        raise ValueError(f"{what} has a lone surrogate: {value[:80]!a}")
    return value


def non_empty(value: Any, what: str) -> str:
    """Checks an identifier that must not be empty. An empty one is usually a variable that was not set."""
    if identifier(value, what) == "":
        raise ValueError(f"{what} must not be empty")
    return value


def optional_text(value: Any, what: str) -> str | None:
    """Checks an optional text, and makes it well-formed."""
    if value is None or isinstance(value, str):
        return None if value is None else well_formed(value)
    raise TypeError(f"{what} must be a str, not {type(value).__name__}")


def to_bytes(value: Any, what: str) -> bytes:
    """Converts bytes-like objects to bytes."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{what} must be bytes, not {type(value).__name__}")


def integer(value: Any, what: str, minimum: int, maximum: int) -> int:
    """Checks an integer in a range."""
    if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum:
        return value
    shown = value if isinstance(value, (int, float)) else type(value).__name__
    raise ValueError(f"{what} must be a whole number from {minimum} to {maximum}, not {shown}")


def optional_integer(value: Any, what: str, minimum: int, maximum: int) -> int | None:
    """Checks an optional integer in a range."""
    return None if value is None else integer(value, what, minimum, maximum)
