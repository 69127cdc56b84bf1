"""Converts payloads to values, and values to payloads."""

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
    """Whether a media type is JSON or a format based on JSON (CloudEvents JSON format, section 3.1.1)."""
    _, _, subtype = _essence(media_type).partition("/")
    return subtype == "json" or subtype.endswith("+json")


def is_text(media_type: str) -> bool:
    """Whether a media type is text in UTF-8."""
    charset = re.search(r';\s*charset\s*=\s*"?([^";\s]+)', media_type, re.IGNORECASE)
    known = charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    return known and _essence(media_type).startswith("text/")


def _essence(media_type: str) -> str:
    return media_type.split(";")[0].strip().lower()


def decode(data: bytes | None, media_type: str | None) -> Any:
    """Converts JSON to its value and text to a ``str``. Other data stays bytes."""
    if data is None:
        return None
    if is_json(media_type or "application/json"):
        return loads(data)
    return data.decode() if is_text(media_type or "") else data


def encode(value: Any, media_type: str | None, what: str = "the data") -> tuple[str | None, bytes | None]:
    """Converts a value to its media type and bytes. Bytes stay as they are, a ``str`` becomes UTF-8 if the media type
    is not JSON, and all other values become JSON."""
    if value is None:
        return media_type, None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return media_type or "application/octet-stream", bytes(value)
    if isinstance(value, str) and media_type is not None and not is_json(media_type):
        return media_type, well_formed(value).encode()
    return media_type or "application/json", to_json(value, what)


def to_json(value: Any, what: str = "it") -> bytes:
    """Converts a value to JSON. Dataclasses become objects. Lone surrogates become U+FFFD, because other languages
    cannot read their escapes (RFC 7493, 2.1). A value that JSON cannot represent is an error that says where it is."""
    converter = _JsonConverter(what)
    try:
        plain = converter.convert(value, "", ())
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError(f"{what} cannot be written as JSON: it is nested too deeply") from None
    return well_formed(text).encode()


#: Advice for types that JSON does not have.
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


class _JsonConverter:
    """Converts values to the types of JSON: dicts with ``str`` keys, lists, ``str``, numbers, booleans and None."""

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: Any, path: str, containers: tuple[int, ...]) -> Any:
        if value is None or isinstance(value, (str, bool, int)):
            return value
        if isinstance(value, float):
            if math.isfinite(value):
                return value
            raise self._error(ValueError, path, str(value))
        if id(value) in containers:
            raise self._error(ValueError, path, "an object that contains itself")
        containers = (*containers, id(value))
        if isinstance(value, dict):
            return {
                self._key(key, path): self.convert(field, self._child(path, key), containers)
                for key, field in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.convert(each, self._child(path, index), containers) for index, each in enumerate(value)]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {name: self.convert(field, self._child(path, name), containers) for name, field in fields.items()}
        if isinstance(value, enum.Enum):
            return self.convert(value.value, path, containers)
        kind = type(value).__name__
        raise self._error(TypeError, path, f"a {kind}{_HINTS.get(kind, '')}")

    def _key(self, key: Any, path: str) -> str:
        # `json` would convert numbers and None to strings, so reading the JSON would give another dict.
        if isinstance(key, str):
            return key
        raise self._error(TypeError, path, f"a dict with the key {key!r:.80}, which is not a str")

    def _child(self, path: str, key: Any) -> str:
        return f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"

    def _error(self, error: type[Exception], path: str, kind: str) -> Exception:
        at = f" at {path}" if path else ""
        return error(f"{self._what} cannot be written as JSON{at}: it is {kind}")
