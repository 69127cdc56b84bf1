"""Converts the rules of subscriptions to the contract's records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import _wire as wire
from ._duration import Duration, milliseconds
from ._fit import U32, U64, identifier, integer, optional_integer, optional_text
from ._payload import to_json
from ._renamed import renamed_options
from ._time import rfc3339


@renamed_options(
    "RetryPolicy",
    {
        "attempts": "max_attempts",
        "first_delay": "initial_delay",
        "factor": "backoff_multiplier",
        "permanent": "non_retryable",
    },
)
@dataclass(frozen=True)
class RetryPolicy:
    """When a failed delivery is retried. The host has a default for each field."""

    #: The number of attempts before the delivery becomes a dead letter.
    max_attempts: int | None = None
    #: The delay before the second attempt.
    initial_delay: Duration | None = None
    #: The factor by which the delay grows with each further attempt; at least 1.
    backoff_multiplier: float | None = None
    #: The maximum delay.
    max_delay: Duration | None = None
    #: The random share of each delay, from 0 to 1.
    jitter: float | None = None
    #: Causes of failure that are not retried: ``trap``, ``timeout``, ``out-of-memory``, ``webhook``, ``retry``,
    #: ``exception``, ``request``.
    non_retryable: Sequence[str] = ()

    def policy(self) -> wire.RetryPolicy:
        """Converts the policy to the contract's record."""
        return wire.RetryPolicy(
            attempts=optional_integer(self.max_attempts, "retry: max_attempts", 1, U32),
            first_delay_ms=milliseconds(self.initial_delay, "retry: initial_delay"),
            factor_percent=_percent(self.backoff_multiplier, "backoff_multiplier"),
            max_delay_ms=milliseconds(self.max_delay, "retry: max_delay"),
            jitter_percent=_percent(self.jitter, "jitter"),
            permanent=[identifier(cause, "retry: a cause in non_retryable") for cause in _causes(self.non_retryable)],
        )


def _causes(causes: Any) -> Sequence[Any]:
    if isinstance(causes, (list, tuple, set, frozenset)):
        return list(causes)
    raise TypeError(f'retry: non_retryable must be a list of causes, such as ["trap"], not {type(causes).__name__}')


def _percent(fraction: float | None, what: str) -> int | None:
    if fraction is None:
        return None
    if isinstance(fraction, (int, float)) and 0 <= fraction * 100 <= U32:
        return round(fraction * 100)
    raise ValueError(f"retry: {what} must be a number of at least 0, not {fraction!r}")


def rules(
    filters: Sequence[dict[str, Any]] | None = None,
    start: str | datetime | int | None = None,
    concurrency: int | None = None,
    ordering_key: str | None = None,
    dead_letter_policy: str | None = None,
    retry: RetryPolicy | None = None,
) -> wire.Rules:
    """The rules that subscriptions have, whether they are declared or created at run time."""
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise TypeError(f"retry must be a RetryPolicy, such as RetryPolicy(max_attempts=5), not {type(retry).__name__}")
    if dead_letter_policy not in (None, "release", "park"):
        raise ValueError(f'dead_letter_policy must be "release" or "park", not {dead_letter_policy!r}')
    return wire.Rules(
        filters=None if filters is None else to_json(list(filters)).decode(),
        start=_start(start),
        concurrency=optional_integer(concurrency, "concurrency", 1, U32),
        ordering_key=optional_text(ordering_key, "ordering_key"),
        dead_letter_policy=dead_letter_policy,
        retry=None if retry is None else retry.policy(),
    )


def _start(start: str | datetime | int | None) -> wire.Start | None:
    if start is None:
        return None
    if start in ("now", "beginning"):
        return wire.Start(str(start))
    if isinstance(start, datetime):
        return wire.Start("time", rfc3339(start))
    if isinstance(start, int):
        return wire.Start("position", integer(start, "start", 0, U64))
    raise ValueError(f'start must be "now", "beginning", a datetime or a position, not {start!r}')


def matches(pattern: str, type: str) -> bool:
    """Whether a type matches a pattern, as the contract's ``subscription.pattern`` defines it."""
    if pattern == ">":
        return type != ""
    tokens, words = pattern.split("."), type.split(".")
    if not all(_is_word(word) for word in words):
        return False
    for index, token in enumerate(tokens):
        if index >= len(words):
            return False
        if token == ">":
            return True
        if token not in ("*", words[index]):
            return False
    return len(tokens) == len(words)


def is_pattern(text: str) -> bool:
    """Whether a text is a valid pattern of event types."""
    *words, last = text.split(".")
    return (
        len(text.encode(errors="replace")) <= 255
        and (last in ("*", ">") or _is_word(last))
        and all(word == "*" or _is_word(word) for word in words)
    )


def _is_word(text: str) -> bool:
    return text != "" and not any(
        character.isspace() or character in "*>" or _is_forbidden(character) for character in text
    )


def _is_forbidden(character: str) -> bool:
    """Whether CloudEvents forbids the character in strings: it is a control character or a noncharacter."""
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE
