"""HTTP headers: a field may come more than once (RFC 9110, section 5.3), and Set-Cookie must (RFC 6265, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Union

from ._fit import identifier, well_formed

Value = Union[str, int, float]
#: Headers to send. A list of values is as many headers, as two cookies need; pairs do as well.
Headers = Union[Mapping[str, Union[Value, Sequence[Value], None]], Iterable[tuple[str, Value]]]


def fields(headers: Headers | None) -> list[tuple[str, str]]:
    """The fields that are sent, with names in lower case. What has no value is left out."""
    given = headers.items() if isinstance(headers, Mapping) else headers or ()
    sent: list[tuple[str, str]] = []
    for name, value in given:
        lower = identifier(name, "the name of a header").lower()
        values = value if isinstance(value, (list, tuple)) else [value]
        sent += [(lower, _line(lower, each)) for each in values if each is not None]
    return sent


def _line(name: str, value: object) -> str:
    """The value of a field. One with a line break would be two fields, or none."""
    text = well_formed(value.decode("latin-1") if isinstance(value, bytes) else str(value))
    if any(character in text for character in "\r\n\0"):
        raise ValueError(f"the header `{name}` has a line break or NUL in its value")
    return text


def joined(received: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Received fields by their names. Those that come more than once are joined, cookies as RFC 9113, 8.2.3 says."""
    all: dict[str, str] = {}
    for name, value in received:
        separator = "; " if name == "cookie" else ", "
        all[name] = f"{all[name]}{separator}{value}" if name in all else value
    return all


def values(received: Iterable[tuple[str, str]], name: str) -> list[str]:
    """The values of the fields with a name, one by one."""
    return [value for other, value in received if other == name.lower()]
