"""Rules of subscriptions: from what a plugin writes to what the contract has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import _wire as wire
from ._duration import Duration, milliseconds
from ._fit import U32, U64, identifier, optional_text, optional_whole, whole
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
    """When a failed delivery is retried. The host has a default for each field that is left out."""

    #: How many attempts are made before the delivery becomes a dead letter.
    max_attempts: int | None = None
    #: The delay before the second attempt.
    initial_delay: Duration | None = None
    #: The factor by which the delay grows with each further attempt; at least 1.
    backoff_multiplier: float | None = None
    #: The longest delay.
    max_delay: Duration | None = None
    #: The random share of each delay, from 0 to 1.
    jitter: float | None = None
    #: Causes of failure that are not retried: ``trap``, ``timeout``, ``out-of-memory``, ``webhook``, ``retry``,
    #: ``exception``, ``request``.
    non_retryable: Sequence[str] = ()

    def policy(self) -> wire.RetryPolicy:
        """The policy as the contract has it."""
        return wire.RetryPolicy(
            attempts=optional_whole(self.max_attempts, "retry: max_attempts", 1, U32),
            first_delay_ms=milliseconds(self.initial_delay, "retry: initial_delay"),
            factor_percent=_percent(self.backoff_multiplier, "backoff_multiplier"),
            max_delay_ms=milliseconds(self.max_delay, "retry: max_delay"),
            jitter_percent=_percent(self.jitter, "jitter"),
            permanent=[identifier(cause, "retry: a cause in non_retryable") for cause in _causes(self.non_retryable)],
        )


def _causes(causes: Any) -> Sequence[Any]:
    if isinstance(causes, (list, tuple, set, frozenset)):
        return list(causes)
    raise TypeError(f'retry: non_retryable is a list of causes, such as ["trap"], not {type(causes).__name__}')


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
    """What declared subscriptions and those made at run time have in common."""
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise TypeError(f"retry must be a RetryPolicy, such as RetryPolicy(max_attempts=5), not {type(retry).__name__}")
    if dead_letter_policy not in (None, "release", "park"):
        raise ValueError(f'dead_letter_policy is "release" or "park", and not {dead_letter_policy!r}')
    return wire.Rules(
        filters=None if filters is None else to_json(list(filters)).decode(),
        start=_start(start),
        concurrency=optional_whole(concurrency, "concurrency", 1, U32),
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
        return wire.Start("position", whole(start, "start", 0, U64))
    raise ValueError(f'start is "now", "beginning", a datetime or a position, and not {start!r}')


def matches(pattern: str, type: str) -> bool:
    """Whether a pattern takes a type; the rules are in the contract's ``subscription.pattern``."""
    if pattern == ">":
        return type != ""
    tokens, types = pattern.split("."), type.split(".")
    if not all(_is_word(word) for word in types):
        return False
    for index, token in enumerate(tokens):
        if index >= len(types):
            return False
        if token == ">":
            return True
        if token not in ("*", types[index]):
            return False
    return len(tokens) == len(types)


def is_pattern(text: str) -> bool:
    """Whether a text is a pattern of event types, which a type can match."""
    *words, last = text.split(".")
    return (
        len(text.encode(errors="replace")) <= 255
        and (last in ("*", ">") or _is_word(last))
        and all(word == "*" or _is_word(word) for word in words)
    )


def _is_word(text: str) -> bool:
    return text != "" and not any(character.isspace() or character in "*>" or _forbidden(character) for character in text)


def _forbidden(character: str) -> bool:
    """Whether no CloudEvents string has the character: it is a control or a noncharacter."""
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE
