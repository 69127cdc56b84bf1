"""The seam between the SDK and what it runs on: the host's imports in a component (``_component``), and the fake
host of a test (``testing``). Both offer the same functions."""

from __future__ import annotations

from typing import Protocol

from . import _wire as wire


class Host(Protocol):
    """What the SDK calls."""

    def publish(self, message: wire.Message) -> str: ...
    def publish_many(self, messages: list[wire.Message]) -> list[str]: ...
    def cancel(self, id: str) -> None: ...
    def reply(self, id: str, pattern: str, timeout_ms: int) -> None: ...
    def subscribe(self, subscription: wire.RuntimeSubscription) -> None: ...
    def unsubscribe(self, name: str) -> None: ...
    def state_get(self, key: str) -> bytes | None: ...
    def state_set(self, key: str, value: bytes) -> None: ...
    def state_delete(self, key: str) -> None: ...
    def state_increment(self, key: str, delta: int) -> int: ...
    def state_keys(self) -> list[str]: ...
    def config_get(self, key: str) -> str | None: ...
    def log(self, level: str, context: str, message: str) -> None: ...
    def now(self) -> float: ...
    def random_bytes(self, count: int) -> bytes: ...


_current: Host | None = None


def install(host: Host | None) -> Host | None:
    """Lets the SDK call a host from now on. Returns the one before."""
    global _current
    before, _current = _current, host
    return before


def is_there() -> bool:
    """Whether there is a host to call."""
    return _current is not None


def host() -> Host:
    if _current is None:
        raise RuntimeError(
            "there is no host here: outside of a component, call handlers through sandbus.testing.FakeHost"
        )
    return _current
