"""Limits the depth of JSON. Python's parser is recursive, and deeply nested text would exhaust the component's stack.
That is a trap, which no ``except`` catches. So text that is nested too deeply is refused before it is parsed."""

from __future__ import annotations

import json
import re
from typing import Any, Union

#: The maximum depth of arrays and objects.
MAX_DEPTH = 1_000

_parse = json.loads
_NO_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\[\]{}"]+', re.DOTALL)


def loads(text: Union[str, bytes, bytearray], **options: Any) -> Any:
    """Parses JSON like ``json.loads``. Text that is nested too deeply is a ``ValueError``."""
    if is_too_deep(text):
        raise ValueError(f"the JSON text is nested more than {MAX_DEPTH} levels deep")
    return _parse(text, **options)


def is_too_deep(text: Any) -> bool:
    """Whether text is nested too deeply. Only text with enough brackets is scanned for its depth."""
    if isinstance(text, (bytes, bytearray)):
        if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
            return False
        text = text.decode(errors="replace")
    if not isinstance(text, str) or text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    # Brackets in strings do not count.
    for bracket in _NO_BRACKETS.sub("", text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        if depth > MAX_DEPTH:
            return True
    return False


def install() -> None:
    """Limits ``json.loads`` also for the plugin's code and its packages."""
    json.loads = loads
