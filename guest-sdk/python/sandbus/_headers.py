"""HTTP headers. A field may be repeated (RFC 9110, section 5.3), and several cookies need repeated Set-Cookie fields
(RFC 6265, section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Union

from ._fit import identifier, well_formed

Value = Union[str, int, float]
#: Headers to send, as a mapping or as pairs. A list of values becomes one header for each value.
Headers = Union[Mapping[str, Union[Value, Sequence[Value], None]], Iterable[tuple[str, Value]]]


def fields(headers: Headers | None) -> list[tuple[str, str]]:
    """Converts headers to the fields to send, with names in lower case. Headers with the value None are omitted."""
    if isinstance(headers, (str, bytes)):
        raise TypeError(f"headers must be a dict or pairs, not {type(headers).__name__}")
    given = headers.items() if isinstance(headers, Mapping) else headers or ()
    sent: list[tuple[str, str]] = []
    for pair in given:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError("each header in a list must be a pair of name and value")
        name, value = pair
        lower = _name(name)
        values = value if isinstance(value, (list, tuple)) else [value]
        sent += [(lower, _value(lower, each)) for each in values if each is not None]
    return sent


def _name(name: object) -> str:
    """Checks a field's name, which is a token (RFC 9110, sections 5.1 and 5.6.2)."""
    text = identifier(name, "the name of a header")
    if re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", text):
        return text.lower()
    raise ValueError(f"{text[:80]!r} is not the name of a header: a name has letters, digits and hyphens")


def _value(name: str, value: object) -> str:
    """Checks a field's value (RFC 9110, section 5.5). A line break would end the field."""
    if not isinstance(value, (str, bytes, int, float)) or isinstance(value, bool):
        raise TypeError(f"the header `{name}` must be a str, not {type(value).__name__}")
    text = well_formed(value.decode("latin-1") if isinstance(value, bytes) else str(value))
    if any(character in text for character in "\r\n\0"):
        raise ValueError(f"the header `{name}` has a line break or NUL in its value")
    if re.search(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        raise ValueError(f"the header `{name}` has a control character in its value")
    return text


def joined(received: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Received fields by name. The values of repeated fields are joined, those of Cookie as in RFC 9113, 8.2.3."""
    by_name: dict[str, str] = {}
    for name, value in received:
        separator = "; " if name == "cookie" else ", "
        by_name[name] = f"{by_name[name]}{separator}{value}" if name in by_name else value
    return by_name


def values(received: Iterable[tuple[str, str]], name: str) -> list[str]:
    """The values of all fields with a name."""
    return [value for other, value in received if other == name.lower()]
