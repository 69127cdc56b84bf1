"""Converts data to the type of an annotation. Data that does not fit is a ``ValueError`` that says where."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

#: The names of JSON's types, by their Python types.
_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", type(None): "null"}


def shape(value: Any, wanted: Any, path: str = "") -> Any:
    """Converts a value to the type of an annotation. Creates dataclasses and enums, also in lists, dicts and unions,
    and checks scalar types, ``Literal`` and ``None``. Other annotations are ignored, and so are unknown fields."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _instance(value, wanted, path)
    if wanted in _NAMES:
        return _scalar(value, wanted, path)
    if wanted is list or origin is list:
        return _list(value, arguments, path)
    if wanted is dict or origin is dict:
        return _dict(value, arguments, path)
    if origin is typing.Union or isinstance(wanted, types.UnionType):
        return _one_of(value, arguments, path)
    if origin is typing.Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise _misfit(path, f"must be one of {', '.join(map(repr, arguments))}, not {value!r:.80}")
        return value
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        try:
            return wanted(value)
        except ValueError as error:
            raise _misfit(path, str(error)) from None
    return value


def _misfit(path: str, what: str) -> ValueError:
    return ValueError(f"{path}: {what}" if path else what)


def _scalar(value: Any, wanted: type, path: str) -> Any:
    if wanted is float and type(value) is int:
        return value
    if type(value) is not wanted:
        raise _misfit(path, f"must be {_NAMES[wanted]}, not {_type_name(value)}")
    return value


def _type_name(value: Any) -> str:
    return _NAMES.get(type(value)) or {dict: "an object", list: "an array"}.get(type(value), type(value).__name__)


def _list(value: Any, arguments: tuple[Any, ...], path: str) -> Any:
    if not isinstance(value, list):
        raise _misfit(path, f"must be an array, not {_type_name(value)}")
    item = arguments[0] if arguments else Any
    return [shape(each, item, f"{path}/{index}") for index, each in enumerate(value)]


def _dict(value: Any, arguments: tuple[Any, ...], path: str) -> Any:
    if not isinstance(value, dict):
        raise _misfit(path, f"must be an object, not {_type_name(value)}")
    field = arguments[1] if arguments else Any
    return {name: shape(each, field, f"{path}/{name}") for name, each in value.items()}


def _one_of(value: Any, choices: tuple[Any, ...], path: str) -> Any:
    misfits: list[ValueError] = []
    for choice in choices:
        try:
            return shape(value, choice, path)
        except ValueError as error:
            misfits.append(error)
    # For `T | None`, the error of T is the most helpful one.
    relevant = [error for choice, error in zip(choices, misfits) if choice is not type(None)]
    raise relevant[0] if len(relevant) == 1 else _misfit(path, f"fits none of {' | '.join(map(_title, choices))}")


def _title(wanted: Any) -> str:
    return getattr(wanted, "__name__", str(wanted))


def _instance(value: Any, wanted: type, path: str) -> Any:
    if not isinstance(value, dict):
        raise _misfit(path, f"{wanted.__name__} must be an object, not {_type_name(value)}")
    hints = typing.get_type_hints(wanted)
    fields = [field for field in dataclasses.fields(wanted) if field.init]
    missing = [field.name for field in fields if field.name not in value and not _has_default(field)]
    if missing:
        raise _misfit(path, f"{wanted.__name__} needs {', '.join(f'`{name}`' for name in missing)}")
    given = {
        field.name: shape(value[field.name], hints[field.name], f"{path}/{field.name}")
        for field in fields
        if field.name in value
    }
    try:
        return wanted(**given)
    except TypeError as error:
        raise _misfit(path, str(error)) from None


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
