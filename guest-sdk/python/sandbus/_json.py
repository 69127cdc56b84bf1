"""JSON with a limit on its depth. Python's parser calls itself, and in a component WebAssembly's stack would be exhausted: a
trap, which no ``except`` sees. So text that is nested too deeply is an error before that."""

from __future__ import annotations

import json
import re
from typing import Any, Union

#: How many levels of arrays and objects JSON may have.
DEEPEST = 1_000

_parse = json.loads
_NO_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\[\]{}"]+', re.DOTALL)


def loads(text: Union[str, bytes, bytearray], **options: Any) -> Any:
    """``json.loads``, which refuses text that is nested too deeply with a ``ValueError``."""
    if is_too_deep(text):
        raise ValueError(f"the JSON text is nested more than {DEEPEST} levels deep")
    return _parse(text, **options)


def is_too_deep(text: Any) -> bool:
    """Whether text is nested too deeply. It is read bracket by bracket only if it has enough of them."""
    if isinstance(text, (bytes, bytearray)):
        if text.count(b"[") + text.count(b"{") <= DEEPEST:
            return False
        text = text.decode(errors="replace")
    if not isinstance(text, str) or text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    # Brackets within strings do not count.
    for bracket in _NO_BRACKETS.sub("", text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        if depth > DEEPEST:
            return True
    return False


def install() -> None:
    """Limits ``json.loads`` for the plugin's own code, and for the packages that it uses."""
    json.loads = loads
