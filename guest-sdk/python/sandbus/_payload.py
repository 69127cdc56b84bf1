"""Payloads: bytes to what a handler's first parameter asks for, and values to bytes."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from ._fit import well_formed


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
        return json.loads(data)
    return data.decode() if is_text(media_type or "") else data


def encode(value: Any, media_type: str | None) -> tuple[str | None, bytes | None]:
    """Bytes go as they are, texts of other media types in UTF-8, and everything else as JSON."""
    if value is None:
        return media_type, None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return media_type or "application/octet-stream", bytes(value)
    if isinstance(value, str) and media_type is not None and not is_json(media_type):
        return media_type, well_formed(value).encode()
    return media_type or "application/json", to_json(value)


def to_json(value: Any) -> bytes:
    """A value's JSON. Dataclasses are written as objects, and lone surrogates as U+FFFD: other languages cannot read
    the escapes of them (RFC 7493, 2.1)."""
    try:
        text = json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise ValueError(f"it cannot be written as JSON: {error}") from None
    return well_formed(text).encode()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{value!r} cannot be written as JSON")
