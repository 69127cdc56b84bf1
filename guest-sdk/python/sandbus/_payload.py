"""Payloads: bytes to what a handler's first parameter asks for, and values to bytes."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any


def is_json(media_type: str) -> bool:
    essence = media_type.split(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def decode(data: bytes | None, media_type: str | None) -> Any:
    """JSON as its value, text as a ``str``, anything else as bytes."""
    if data is None:
        return None
    if is_json(media_type or "application/json"):
        return json.loads(data)
    return data.decode() if (media_type or "").startswith("text/") else data


def encode(value: Any, media_type: str | None) -> tuple[str | None, bytes | None]:
    """Bytes go as they are, texts of other media types in UTF-8, and everything else as JSON."""
    if value is None:
        return media_type, None
    if isinstance(value, bytes):
        return media_type or "application/octet-stream", value
    if isinstance(value, str) and media_type is not None and not is_json(media_type):
        return media_type, value.encode()
    return media_type or "application/json", to_json(value)


def to_json(value: Any) -> bytes:
    """A value's JSON. Dataclasses are written as objects."""
    try:
        text = json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise ValueError(f"it cannot be written as JSON: {error}") from None
    return text.encode(errors="replace")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{value!r} cannot be written as JSON")


def shape(value: Any, wanted: Any) -> Any:
    """A value in the shape that an annotation asks for: dataclasses, also in lists and in one another, are made
    of objects; anything else is left as it is. Fields that nobody asks for are left out."""
    if dataclasses.is_dataclass(wanted):
        return _instance(value, typing.cast(type, wanted))
    if typing.get_origin(wanted) is list and isinstance(value, list):
        (item,) = typing.get_args(wanted)
        return [shape(each, item) for each in value]
    return value


def _instance(value: Any, wanted: type) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{wanted.__name__} is an object, and this is {json.dumps(value)[:80]}")
    hints = typing.get_type_hints(wanted)
    given = {
        field.name: shape(value[field.name], hints[field.name])
        for field in dataclasses.fields(wanted)
        if field.init and field.name in value
    }
    try:
        return wanted(**given)
    except TypeError as error:
        raise ValueError(str(error).replace("__init__()", "")) from None
