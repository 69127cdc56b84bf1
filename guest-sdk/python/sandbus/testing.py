"""A fake host, to test a plugin in plain CPython.

    host = FakeHost(plugin)
    assert host.deliver("user.registered", {"name": "Ada"}).outcome == "ack"
    assert host.state == {"welcomed": 1}

Everything is in memory. As on a real host, a failed invocation leaves no effects. Filters, ordering, retries and limits
are ignored."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from . import _host, _log
from . import _wire as wire
from ._event import Event
from ._failure import BusError, SendError
from ._headers import Headers, fields, joined, values
from ._http import Request
from ._numbers import total
from ._payload import decode, encode, to_json
from ._plugin import FailedDelivery, FailedRequest, Plugin
from ._renamed import renamed_members
from ._route import find_route
from ._rules import is_pattern, matches
from ._time import parse, rfc3339

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """How a delivery ended: ``ack``, ``retry`` or ``reject``."""

    outcome: str
    reason: str | None = None
    delay_ms: int | None = None
    #: ``exception`` or ``request``, for a retry that the handler did not ask for.
    cause: str | None = None


@dataclass(frozen=True)
class Published:
    """An event that an invocation published."""

    id: str
    type: str
    #: The payload: JSON as its value, text as a ``str``, anything else as bytes.
    data: Any
    subject: str | None
    extensions: dict[str, str]
    #: The time at which the event enters the log.
    due: datetime


@dataclass(frozen=True)
class RouteResponse:
    """The response of a route."""

    status: int
    #: By name in lower case. The values of a repeated header are joined.
    headers: dict[str, str]
    body: bytes
    received: Sequence[tuple[str, str]] = field(default=(), repr=False)

    def header_values(self, name: str) -> list[str]:
        """All values of a header, which may be repeated."""
        return values(self.received, name)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Sent:
    """A request to another service."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass
class _Effects:
    """Effects that are discarded if the invocation fails."""

    state: dict[str, bytes] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    subscriptions: dict[str, wire.RuntimeSubscription] = field(default_factory=dict)
    replies: list[tuple[str, str, int]] = field(default_factory=list)


class FakeHost:
    """A host that keeps everything in memory, at 2030-01-01T00:00:00Z."""

    def __init__(
        self, plugin: Plugin, *, config: Mapping[str, str] | None = None, state: Mapping[str, Any] | None = None
    ) -> None:
        # A build sets the name of a plugin that has none.
        self._plugin = plugin.described_by("test", None, None)
        self._config = dict(config or {})
        self._sequences: dict[str, int] = {}
        self._effects = _Effects(state={key: to_json(value) for key, value in (state or {}).items()})
        self._ids = 0
        #: The ids of the events that the current invocation has published.
        self._published_ids: list[str] = []
        self._cause: str | None = None
        #: Responses to requests that the plugin sends, by pattern.
        self._responses: list[tuple[str, tuple[int, list[tuple[str, str]], bytes]]] = []
        #: The requests that were sent to other services, in order.
        self.sent: list[Sent] = []
        #: The log lines, in order.
        self.logs: list[str] = []
        #: The time that handlers see.
        self.now = datetime(2030, 1, 1, tzinfo=timezone.utc)

    def __getattr__(self, name: str) -> Any:
        if name == "time":
            raise AttributeError("`FakeHost.time` was renamed to `FakeHost.now`")
        raise AttributeError(f"a FakeHost has no attribute `{name}`")

    @property
    def published(self) -> list[Published]:
        """The events that were published and not cancelled, in order."""
        return list(self._effects.published)

    @property
    def state(self) -> dict[str, Any]:
        """The state: the values by key. Values that are JSON are parsed, and others are bytes."""
        return {key: _readable(value) for key, value in self._effects.state.items()}

    @property
    def subscriptions(self) -> dict[str, wire.RuntimeSubscription]:
        """The subscriptions that were created at run time, by name."""
        return dict(self._effects.subscriptions)

    @property
    def replies(self) -> list[tuple[str, str, int]]:
        """The replies that routes asked for: the event's id, the pattern, and the timeout in milliseconds."""
        return list(self._effects.replies)

    def answers(
        self, pattern: str, status: int = 200, *, json: Any = None, body: bytes = b"", **headers: Any
    ) -> FakeHost:
        """Sets the response to requests that the plugin sends with ``sandbus.client``. The pattern is a method and a
        URL, such as ``GET https://api.example.com/rates``, or the start of one followed by ``*``. Requests that match
        no pattern fail."""
        content = body if json is None else to_json(json)
        self._responses.append((pattern, (status, fields(headers), content)))
        return self

    def advance(self, time: timedelta) -> None:
        """Moves the clock forward."""
        self.now += time

    def deliver(
        self,
        type: str,
        data: Any = None,
        *,
        subscription: str | None = None,
        content_type: str | None = None,
        **attributes: Any,
    ) -> Outcome:
        """Delivers an event to the subscription whose pattern matches its type, and returns the outcome. Further
        attributes are those of ``Event``."""
        media_type, payload = encode(data, content_type)
        given = {"id": "event", "source": "/test", "time": rfc3339(self.now), **attributes}
        name = subscription or self._subscription_of(type)
        event = Event(type=type, subscription=name, content_type=media_type, bytes=payload, **given)
        try:
            self.run(lambda: self._plugin.deliver(event))
        except FailedDelivery as failed:
            kind = "reject" if failed.failure.rejected else "retry"
            cause = self._cause if kind == "retry" else None
            return Outcome(kind, failed.failure.reason, failed.failure.delay_ms, cause)
        return Outcome("ack")

    def tick(self, schedule: str, due: datetime | None = None, **attributes: Any) -> Outcome:
        """Runs the handler of a schedule, for now or for another scheduled time."""
        for declared in self._plugin.describe().schedules:
            if declared.name == schedule:
                time = rfc3339(due or self.now)
                return self.deliver(declared.type, subscription=schedule, time=time, **attributes)
        raise LookupError(f"the plugin has no schedule `{schedule}`")

    def request(
        self, target: str, *, json: Any = None, body: bytes = b"", headers: Headers | None = None
    ) -> RouteResponse:
        """Sends a request, such as ``POST /hello/Ada?loud=1``, to the route that matches it."""
        method, _, url = target.partition(" ")
        path, _, query = url.partition("?")
        route, params = self._route_of(method, path)
        sent = fields(headers)
        if json is not None:
            body = to_json(json)
            if not any(name == "content-type" for name, _ in sent):
                sent.append(("content-type", "application/json"))
        request = Request(method, route, path, params, query, joined(sent), body, sent)
        try:
            return _route_response(self.run(lambda: self._plugin.respond(request)))
        except FailedRequest as failed:
            return _route_response(failed.response)

    def run(self, function: Callable[[], T]) -> T:
        """Runs a function on this host. Its effects are discarded if it raises an exception."""
        before = copy.deepcopy(self._effects)
        self._published_ids = []
        self._cause = None
        previous = _host.install(_FakeImports(self))
        _log.start()
        try:
            return function()
        except BaseException:
            self._effects = before
            raise
        finally:
            _log.stop()
            _host.install(previous)

    def _subscription_of(self, type: str) -> str:
        declared = self._plugin.describe().subscriptions
        found = [subscription.name for subscription in declared if matches(subscription.pattern, type)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise LookupError(f"no subscription of the plugin matches events of type `{type}`")
        raise LookupError(f"several subscriptions match `{type}` ({', '.join(found)}): choose one with `subscription`")

    def _route_of(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        found = find_route([route for declared, route in self._plugin.describe().routes if declared == method], path)
        if found is None:
            raise LookupError(f"no route of the plugin matches {method} {path}")
        return found


def _check_pattern(pattern: str) -> None:
    if not is_pattern(pattern):
        raise BusError("invalid", f"`{pattern}` is not a pattern of event types")


class _FakeImports:
    """The functions that the SDK calls in place of the host's imports."""

    def __init__(self, fake: FakeHost) -> None:
        self._fake = fake

    @property
    def _effects(self) -> _Effects:
        return self._fake._effects

    def publish(self, message: wire.Message) -> str:
        fake = self._fake
        if not any(matches(pattern, message.type) for pattern in fake._plugin.describe().publishes):
            raise BusError("denied", f"the plugin does not declare `{message.type}` among what it publishes")
        fake._ids += 1
        id = f"event-{fake._ids}"
        data = decode(message.data, message.datacontenttype)
        extensions = {name: value for name, value in message.extensions if not _is_host_attribute(name)}
        self._effects.published.append(
            Published(id, message.type, data, message.subject, extensions, self._due(message))
        )
        fake._published_ids.append(id)
        return id

    def _due(self, message: wire.Message) -> datetime:
        case, value = message.due
        if case == "after-ms":
            return self._fake.now + timedelta(milliseconds=int(value or 0))
        return self._fake.now if case == "now" else max(parse(str(value)), self._fake.now)

    def publish_many(self, messages: list[wire.Message]) -> list[str]:
        return [self.publish(message) for message in messages]

    def cancel(self, id: str) -> None:
        kept = [event for event in self._effects.published if event.id != id or event.due <= self._fake.now]
        self._effects.published = kept

    def reply(self, id: str, pattern: str, timeout_ms: int) -> None:
        if id not in self._fake._published_ids:
            raise BusError("invalid", f"this invocation has published no event `{id}`")
        _check_pattern(pattern)
        self._effects.replies.append((id, pattern, timeout_ms))

    def subscribe(self, subscription: wire.RuntimeSubscription) -> None:
        _check_pattern(subscription.pattern)
        self._effects.subscriptions[subscription.name] = subscription

    def unsubscribe(self, name: str) -> None:
        self._effects.subscriptions.pop(name, None)

    def state_get(self, key: str) -> bytes | None:
        return self._effects.state.get(key)

    def state_set(self, key: str, value: bytes) -> None:
        self._effects.state[key] = value

    def state_delete(self, key: str) -> None:
        self._effects.state.pop(key, None)

    def state_keys(self) -> list[str]:
        return sorted(self._effects.state)

    def state_increment(self, key: str, delta: int) -> int:
        sum = total(self._effects.state.get(key), delta, key)
        # Adding zero is only a read.
        if delta != 0:
            self._effects.state[key] = str(sum).encode()
        return sum

    def state_add(self, key: str, delta: int) -> None:
        self.state_increment(key, delta)

    def state_sequence(self, name: str) -> int:
        # Numbers are not returned when an invocation fails.
        self._fake._sequences[name] = self._fake._sequences.get(name, 0) + 1
        return self._fake._sequences[name]

    def config_get(self, key: str) -> str | None:
        defaults = {declared.name: declared.default for declared in self._fake._plugin.describe().config}
        return self._fake._config.get(key, defaults.get(key))

    def report_cause(self, kind: str) -> None:
        # This host refuses no memory.
        self._fake._cause = "exception" if kind == "out-of-memory" else kind

    def log(self, level: str, context: str, message: str) -> None:
        self._fake.logs.append(message)

    def now(self) -> float:
        return self._fake.now.timestamp()

    def random_bytes(self, count: int) -> bytes:
        return bytes(index % 256 for index in range(count))

    def send(self, request: wire.Call) -> tuple[int, list[tuple[str, str]], bytes]:
        self._fake.sent.append(Sent(request.method, request.url, joined(request.headers), request.body))
        target = f"{request.method} {request.url}"
        for pattern, response in self._fake._responses:
            if target.startswith(pattern[:-1]) if pattern.endswith("*") else target == pattern:
                return response
        raise SendError("unreachable", f"the test has no response to `{target}`; set one with FakeHost.answers")


def _is_host_attribute(name: str) -> bool:
    """Whether the host sets an extension attribute, and so drops it from what a plugin publishes."""
    names = ("causationid", "causationsource", "hops", "authtype", "authid", "authclaims")
    return name in names or name.startswith("sandbus")


def _readable(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _route_response(response: wire.Response) -> RouteResponse:
    return RouteResponse(response.status, joined(response.headers), response.body, response.headers)


__getattr__ = renamed_members("sandbus.testing", {"Answer": "RouteResponse"})
