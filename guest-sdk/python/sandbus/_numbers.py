"""Numbers in the state: decimal text in the range of signed 64 bits."""

from __future__ import annotations

import re

from ._failure import StateError
from ._fit import S64


def number_error(kind: str, key: str) -> StateError:
    """The error for a value that is not a number, or for a sum that is out of range."""
    reasons = {
        "not-a-number": f"the value of `{key}` is not a number",
        "out-of-range": f"the number at `{key}` exceeds the range of signed 64 bits",
    }
    return StateError(kind, f"the state refused the call: {reasons[kind]}")


def total(value: bytes | None, delta: int, key: str) -> int:
    """The sum of a value and a delta. An absent value counts as zero."""
    digits = b"0" if value is None else value
    if re.fullmatch(rb"[+-]?[0-9]+", digits) is None:
        raise number_error("not-a-number", key)
    # Checks the length first, because Python refuses to convert more than 4,300 digits.
    if len(digits.lstrip(b"+-0")) > 19 or int(digits) not in S64 or int(digits) + delta not in S64:
        raise number_error("out-of-range", key)
    return int(digits) + delta
