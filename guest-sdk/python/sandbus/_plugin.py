"""A plugin: what it declares becomes its descriptor, and what the host calls goes to the handler it is for."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from . import _later
from . import _wire as wire
from ._duration import Duration, milliseconds
from ._event import Event, Tick
from ._failure import Reject, failure, kind
from ._fit import U64, carried, identifier, optional_whole
from ._host import host
from ._http import Problem, Request, refusal, response
from ._payload import decode, to_json
from ._rules import RetryPolicy, matches, rules
from ._shape import shape
from ._time import parse

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Failed(Exception):
    """A delivery that failed, on its way to the contract."""

    def __init__(self, failure: wire.Failure) -> None:
        self.failure = failure


class Refused(Exception):
    """A request whose effects are thrown away, on its way to the contract."""

    def __init__(self, response: wire.Response) -> None:
        self.response = response


@dataclass(frozen=True)
class _Subscription:
    declared: Callable[[], wire.Subscription]
    name: str
    call: Callable[[Event], object]


@dataclass(frozen=True)
class _Route:
    method: str
    path: str
    call: Callable[[Request], object]


@dataclass(frozen=True)
class _Schedule:
    name: str
    cron: str
    timezone: str | None
    missed: str | None
    data: Any


class Plugin:
    """A plugin. Its module has one, called ``plugin``.

    What is left out comes from pyproject.toml. ``publishes`` and ``subscribes`` are the event types that it
    publishes, and those that it makes subscriptions for at run time, as patterns. ``config`` has its keys with their
    defaults, or None where there is none."""

    def __init__(
        self,
        name: str | None = None,
        *,
        version: str | None = None,
        description: str | None = None,
        publishes: Sequence[str] = (),
        subscribes: Sequence[str] = (),
        config: Mapping[str, str | None] | None = None,
    ) -> None:
        self._name = name
        self._version = version
        self._description = description
        self._publishes = list(publishes)
        self._subscribes = list(subscribes)
        self._config = dict(config or {})
        self._subscriptions: list[_Subscription] = []
        self._routes: list[_Route] = []
        self._schedules: list[_Schedule] = []

    @property
    def name(self) -> str:
        if self._name is None:
            raise ValueError('the plugin has no name: give one in Plugin("…") or in pyproject.toml')
        return self._name

    def on(
        self,
        pattern: str,
        *,
        name: str | None = None,
        filters: Sequence[dict[str, Any]] | None = None,
        start: str | datetime | int | None = None,
        concurrency: int | None = None,
        ordering_key: str | None = None,
        dead_letter_policy: str | None = None,
        max_backlog: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: Duration | None = None,
    ) -> Callable[[Handler], Handler]:
        """Handles the events of a type, or of all types that a pattern takes (``user.*``, ``order.>``). The handler
        takes the event's data, as a dataclass if its annotation is one, and then, if it wants, the ``Event``. The
        subscription is called like the function unless it has a name."""
        common = rules(filters, start, concurrency, ordering_key, dead_letter_policy, retry)
        timeout_ms = milliseconds(timeout, "timeout")
        identifier(pattern, "on: the pattern")
        optional_whole(max_backlog, "max_backlog", 0, U64)

        def declare(handler: Handler) -> Handler:
            _plain(handler)
            called = name or handler.__name__
            subscription = wire.Subscription(called, pattern, common, max_backlog, timeout_ms)
            self._subscribe(called, lambda: subscription, _with_data(handler))
            return handler

        return declare

    def schedule(
        self,
        cron: str,
        *,
        name: str | None = None,
        timezone: str | None = None,
        missed: str | None = None,
        retry: RetryPolicy | None = None,
        timeout: Duration | None = None,
        data: Any = None,
    ) -> Callable[[Handler], Handler]:
        """Runs a handler at the times of a cron expression. It takes a ``Tick``."""
        if missed not in (None, "run-once", "skip", "catch-up"):
            raise ValueError(f'missed is "run-once", "skip" or "catch-up", and not {missed!r}')
        # Times come in their order, and none before the one before it is over.
        common = rules(retry=retry, concurrency=1)
        timeout_ms = milliseconds(timeout, "timeout")

        def declare(handler: Handler) -> Handler:
            _plain(handler)
            called = name or handler.__name__
            self._schedules.append(_Schedule(called, cron, timezone, missed, data))
            declared = lambda: wire.Subscription(called, self._schedule_type(called), common, None, timeout_ms)  # noqa: E731
            self._subscribe(called, declared, lambda event: handler(_tick(event)))
            return handler

        return declare

    def route(self, route: str) -> Callable[[Handler], Handler]:
        """Answers requests, such as of ``POST /hello/{name}``. The handler takes a ``Request`` and returns what is
        sent as JSON, a text, a ``Response``, or nothing. Its effects are durable before the response is sent."""
        match = re.fullmatch(r"\s*([A-Za-z]+)\s+(/\S*)\s*", route)
        if match is None:
            raise ValueError(f'route {route!r}: write a method and a path, such as "POST /hello/{{name}}"')
        method, path = match[1].upper(), match[2]

        def declare(handler: Handler) -> Handler:
            _plain(handler)
            self._routes.append(_Route(method, path, handler))
            return handler

        return declare

    def described_by(self, name: str | None, version: str | None, description: str | None) -> Plugin:
        """Lets pyproject.toml name the plugin where it does not name itself."""
        self._name = self._name or name
        self._version = self._version or version
        self._description = self._description or description
        return self

    def describe(self) -> wire.Descriptor:
        """What the plugin says about itself, as the contract has it."""
        described = wire.Descriptor(
            name=self.name,
            version=self._version or "0.0.0",
            description=self._description,
            routes=[(route.method, route.path) for route in self._routes],
            subscriptions=[subscription.declared() for subscription in self._subscriptions],
            schedules=[self._describe_schedule(schedule) for schedule in self._schedules],
            publishes=self._publishes + [self._schedule_type(schedule.name) for schedule in self._schedules],
            subscribes=self._subscribes,
            config=[wire.ConfigKey(key, default, None) for key, default in self._config.items()],
        )
        return carried(described)

    def deliver(self, event: Event) -> None:
        """Hands an event to the handler of its subscription."""
        try:
            _later.begin()
            result = _finished(self._handler_of(event)(event))
            _later.check()
            if isinstance(result, Exception):
                # Nothing is made of what is returned here, and so it was meant to be raised.
                raise result
        except BaseException as error:  # `sys.exit()` ends the handler, and not the instance.
            what = kind(error)
            if what is not None:
                host().failed(what)
            raise Failed(carried(failure(error))) from error

    def answer(self, request: Request) -> wire.Response:
        """Hands a request to the handler of its route."""
        try:
            _later.begin()
            for route in self._routes:
                if (route.method, route.path) == (request.method, request.route):
                    answer = _finished(route.call(request))
                    _later.check()
                    return response(answer)
            raise Problem(404, "this plugin has no such route")
        except BaseException as error:
            raise Refused(refusal(error, f"route {request.method} {request.route}")) from error

    def _subscribe(self, name: str, declared: Callable[[], wire.Subscription], call: Callable[[Event], object]) -> None:
        if any(subscription.name == name for subscription in self._subscriptions):
            raise ValueError(f"two handlers are called `{name}`; give one of them a `name`")
        self._subscriptions.append(_Subscription(declared, name, call))

    def _handler_of(self, event: Event) -> Callable[[Event], object]:
        """A subscription that none declares was made at run time, and may be called as one of the plugin's own: it
        goes to the first handler whose pattern takes the type. One whose pattern has changed since goes by its
        name."""
        named = [own for own in self._subscriptions if own.name == event.subscription]
        for subscription in [*named, *self._subscriptions]:
            if matches(subscription.declared().pattern, event.type):
                return subscription.call
        if named:
            return named[0].call
        raise Reject(f"no handler takes events of type `{event.type}`")

    def _schedule_type(self, schedule: str) -> str:
        """The type of a schedule's events. It bears the plugin's name, so that no plugin takes another's by
        chance."""
        return f"schedule.{self.name}.{schedule}"

    def _describe_schedule(self, schedule: _Schedule) -> wire.Schedule:
        data = None if schedule.data is None else to_json(schedule.data, f"the data of schedule {schedule.name}")
        media_type = None if data is None else "application/json"
        type = self._schedule_type(schedule.name)
        return wire.Schedule(schedule.name, schedule.cron, schedule.timezone, schedule.missed, type, media_type, data)


def _plain(handler: Callable[..., Any]) -> None:
    """Refuses what would return at once and do its work later, or never."""
    later = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_later(handler) for is_later in later):
        name = getattr(handler, "__name__", repr(handler))
        raise TypeError(f"{name}: a handler is a plain function, without `async` and `yield`")


def _finished(result: object) -> object:
    """Refuses a result that stands for work which nobody would do. Nothing of the invocation is committed then."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError("the handler has returned work that is not done; a handler is a plain function")
    return result


def _tick(event: Event) -> Tick:
    if event.time is None:
        raise Reject("the event has no time that its schedule could mean")
    return Tick(parse(event.time), event.attempt, event)


def _with_data(handler: Callable[..., Any]) -> Callable[[Event], object]:
    """A handler that is given as much of a delivery as it has parameters."""
    parameters = list(inspect.signature(handler).parameters)
    if len(parameters) > 2:
        raise TypeError(f"{handler.__name__}: an event's handler takes its data, and the Event if it wants it")
    wanted = typing.get_type_hints(handler).get(parameters[0]) if parameters else None

    def call(event: Event) -> object:
        try:
            data = shape(decode(event.bytes, event.content_type), wanted)
        except (ValueError, RecursionError) as error:
            # The same data will not be understood at the next attempt either.
            raise Reject(f"the event's data does not fit: {error}") from None
        return handler(*(data, event)[: len(parameters)])

    return call
