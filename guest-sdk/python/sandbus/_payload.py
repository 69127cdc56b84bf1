"""Payloads: bytes to what a handler's first parameter asks for, and values to bytes."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
from typing import Any

from ._fit import well_formed
from ._json import loads


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON's or is built on JSON (CloudEvents JSON format, section 3.1.1)."""
    _, _, subtype = _essence(media_type).partition("/")
    return subtype == "json" or subtype.endswith("+json")


def is_text(media_type: str) -> bool:
    """Whether a media type is that of a text in UTF-8."""
    charset = re.search(r';\s*charset\s*=\s*"?([^";\s]+)', media_type, re.IGNORECASE)
    known = charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    return known and _essence(media_type).startswith("text/")


def _essence(media_type: str) -> str:
    return media_type.split(";")[0].strip().lower()


def decode(data: bytes | None, media_type: str | None) -> Any:
    """JSON as its value, text as a ``str``, anything else as bytes."""
    if data is None:
        return None
    if is_json(media_type or "application/json"):
        return loads(data)
    return data.decode() if is_text(media_type or "") else data


def encode(value: Any, media_type: str | None, what: str = "the data") -> tuple[str | None, bytes | None]:
    """Bytes go as they are, texts of other media types in UTF-8, and everything else as JSON."""
    if value is None:
        return media_type, None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return media_type or "application/octet-stream", bytes(value)
    if isinstance(value, str) and media_type is not None and not is_json(media_type):
        return media_type, well_formed(value).encode()
    return media_type or "application/json", to_json(value, what)


def to_json(value: Any, what: str = "it") -> bytes:
    """A value's JSON. Dataclasses are written as objects, and lone surrogates as U+FFFD: other languages cannot read
    the escapes of them (RFC 7493, 2.1). What JSON has not is refused with its place."""
    plain = _Plain(what)
    try:
        text = json.dumps(plain.of(value, "", ()), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError(f"{what} cannot be written as JSON: it is nested too deeply") from None
    return well_formed(text).encode()


#: What to write instead of what JSON has not.
_HINTS = {
    "bytes": "; write them as text, such as base64",
    "bytearray": "; write them as text, such as base64",
    "set": "; write a sorted list",
    "frozenset": "; write a sorted list",
    "datetime": "; write its isoformat()",
    "date": "; write its isoformat()",
    "time": "; write its isoformat()",
    "Decimal": "; write str() or float() of it",
    "UUID": "; write str() of it",
    "coroutine": "; it was not awaited",
}


class _Plain:
    """Makes values of what JSON has: dictionaries with texts for keys, lists, texts, numbers, booleans and None."""

    def __init__(self, what: str) -> None:
        self._what = what

    def of(self, value: Any, path: str, around: tuple[int, ...]) -> Any:
        if value is None or isinstance(value, (str, bool, int)):
            return value
        if isinstance(value, float):
            if math.isfinite(value):
                return value
            raise self._misfit(ValueError, path, str(value))
        if id(value) in around:
            raise self._misfit(ValueError, path, "an object that contains itself")
        around = (*around, id(value))
        if isinstance(value, dict):
            return {self._key(key, path): self.of(field, self._below(path, key), around) for key, field in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(each, self._below(path, index), around) for index, each in enumerate(value)]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {name: self.of(field, self._below(path, name), around) for name, field in fields.items()}
        if isinstance(value, enum.Enum):
            return self.of(value.value, path, around)
        kind = type(value).__name__
        raise self._misfit(TypeError, path, f"a {kind}{_HINTS.get(kind, '')}")

    def _key(self, key: Any, path: str) -> str:
        # `json` would make a text of numbers and None, and what is read again is another dictionary.
        if isinstance(key, str):
            return key
        raise self._misfit(TypeError, path, f"a dict with the key {key!r:.80}, which is not a str")

    def _below(self, path: str, key: Any) -> str:
        return f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"

    def _misfit(self, error: type[Exception], path: str, odd: str) -> Exception:
        at = f" at {path}" if path else ""
        return error(f"{self._what} cannot be written as JSON{at}: it is {odd}")
