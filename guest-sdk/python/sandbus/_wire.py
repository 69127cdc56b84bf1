"""The contract's records that the SDK creates. ``_component`` converts them to the generated classes, which do not
exist in tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """A request to another service."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    timeout_ms: int | None


@dataclass(frozen=True)
class RetryPolicy:
    attempts: int | None
    first_delay_ms: int | None
    factor_percent: int | None
    max_delay_ms: int | None
    jitter_percent: int | None
    permanent: list[str]


@dataclass(frozen=True)
class Start:
    """``now``, ``beginning``, ``time`` or ``position``, with its value."""

    case: str
    value: str | int | None = None


@dataclass(frozen=True)
class Rules:
    """The rules that subscriptions have, whether they are declared or created at run time."""

    filters: str | None
    start: Start | None
    concurrency: int | None
    ordering_key: str | None
    dead_letter_policy: str | None
    retry: RetryPolicy | None


@dataclass(frozen=True)
class Subscription:
    name: str
    pattern: str
    rules: Rules
    max_backlog: int | None
    timeout_ms: int | None


@dataclass(frozen=True)
class Schedule:
    name: str
    cron: str
    timezone: str | None
    missed: str | None
    type: str
    datacontenttype: str | None
    data: bytes | None


@dataclass(frozen=True)
class ConfigKey:
    name: str
    default: str | None
    description: str | None


@dataclass(frozen=True)
class Descriptor:
    name: str
    version: str
    description: str | None
    routes: list[tuple[str, str]]
    subscriptions: list[Subscription]
    schedules: list[Schedule]
    publishes: list[str]
    subscribes: list[str]
    config: list[ConfigKey]


@dataclass(frozen=True)
class Message:
    type: str
    subject: str | None
    datacontenttype: str | None
    dataschema: str | None
    extensions: list[tuple[str, str]]
    data: bytes | None
    #: ``now``, ``after-ms`` or ``at``, with its value.
    due: tuple[str, int | str | None]


@dataclass(frozen=True)
class Target:
    """A plugin's name, or a webhook."""

    plugin: str | None = None
    url: str | None = None
    secret: str | None = None
    handshake: bool = False


@dataclass(frozen=True)
class RuntimeSubscription:
    name: str
    pattern: str
    target: Target
    rules: Rules


@dataclass(frozen=True)
class Failure:
    """The delivery is retried, or rejected."""

    rejected: bool
    reason: str
    delay_ms: int | None = None


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
