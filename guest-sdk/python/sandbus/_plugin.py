"""A plugin: describes its declarations to the host, and passes events and requests to its handlers."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from . import _unfinished
from . import _wire as wire
from ._duration import Duration, milliseconds
from ._event import Event, Tick
from ._failure import Reject, cause, failure
from ._fit import U64, identifier, optional_integer, with_well_formed_texts
from ._host import host
from ._http import Problem, Request, error_response, response
from ._payload import decode, to_json
from ._route import parse_route
from ._rules import RetryPolicy, matches, rules
from ._shape import shape
from ._time import parse

Handler = TypeVar("Handler", bound=Callable[..., Any])


class FailedDelivery(Exception):
    """Carries the failure of a delivery to the component's export."""

    def __init__(self, failure: wire.Failure) -> None:
        self.failure = failure


class FailedRequest(Exception):
    """Carries the response of a request whose effects are discarded to the component's export."""

    def __init__(self, response: wire.Response) -> None:
        self.response = response


@dataclass(frozen=True)
class _Subscription:
    describe: Callable[[], wire.Subscription]
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

    Name, version and description default to those in pyproject.toml. ``publishes`` has patterns of the event types
    that the plugin publishes, and ``subscribes`` those that it subscribes to at run time. ``config`` maps configuration
    keys to their defaults, or to None if a key has no default."""

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
            raise ValueError('the plugin has no name: set it in Plugin("…") or in pyproject.toml')
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
        """Handles the events whose type matches a pattern, such as ``user.registered``, ``user.*`` or ``order.>``. The
        handler's first parameter is the event's data, as a dataclass if the parameter is annotated with one. An
        optional second parameter is the ``Event``. The subscription's name defaults to the function's."""
        common = rules(filters, start, concurrency, ordering_key, dead_letter_policy, retry)
        timeout_ms = milliseconds(timeout, "timeout")
        identifier(pattern, "on: the pattern")
        optional_integer(max_backlog, "max_backlog", 0, U64)

        def declare(handler: Handler) -> Handler:
            _check_is_synchronous(handler)
            own_name = name or handler.__name__
            subscription = wire.Subscription(own_name, pattern, common, max_backlog, timeout_ms)
            self._subscribe(own_name, lambda: subscription, _with_data(handler))
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
        """Runs a handler at the times of a cron expression. Its parameter is a ``Tick``."""
        if missed not in (None, "run-once", "skip", "catch-up"):
            raise ValueError(f'missed must be "run-once", "skip" or "catch-up", not {missed!r}')
        # The handler runs for one time after the other, in order.
        common = rules(retry=retry, concurrency=1)
        timeout_ms = milliseconds(timeout, "timeout")

        def declare(handler: Handler) -> Handler:
            _check_is_synchronous(handler)
            own_name = name or handler.__name__
            self._schedules.append(_Schedule(own_name, cron, timezone, missed, data))

            # The type contains the plugin's name, which may not be known yet.
            def describe() -> wire.Subscription:
                return wire.Subscription(own_name, self._schedule_type(own_name), common, None, timeout_ms)

            self._subscribe(own_name, describe, lambda event: handler(_tick(event)))
            return handler

        return declare

    def route(self, route: str) -> Callable[[Handler], Handler]:
        """Serves a route, such as ``POST /hello/{name}``. The handler gets a ``Request``. It returns a value that is
        sent as JSON, a ``str`` that is sent as text, a ``Response``, or None. The response is sent after the effects
        are durable."""
        method, path = parse_route(route)

        def declare(handler: Handler) -> Handler:
            _check_is_synchronous(handler)
            self._routes.append(_Route(method, path, handler))
            return handler

        return declare

    def described_by(self, name: str | None, version: str | None, description: str | None) -> Plugin:
        """Sets the name, version and description that the plugin itself does not set."""
        self._name = self._name or name
        self._version = self._version or version
        self._description = self._description or description
        return self

    def describe(self) -> wire.Descriptor:
        """The descriptor of the plugin."""
        described = wire.Descriptor(
            name=self.name,
            version=self._version or "0.0.0",
            description=self._description,
            routes=[(route.method, route.path) for route in self._routes],
            subscriptions=[subscription.describe() for subscription in self._subscriptions],
            schedules=[self._describe_schedule(schedule) for schedule in self._schedules],
            publishes=self._publishes + [self._schedule_type(schedule.name) for schedule in self._schedules],
            subscribes=self._subscribes,
            config=[wire.ConfigKey(key, default, None) for key, default in self._config.items()],
        )
        return with_well_formed_texts(described)

    def deliver(self, event: Event) -> None:
        """Passes an event to the handler of its subscription."""
        try:
            _unfinished.clear()
            result = _check_is_finished(self._handler_of(event)(event))
            _unfinished.check()
            if isinstance(result, Exception):
                # Returning an exception is a mistake: the handler meant to raise it.
                raise result
        except BaseException as error:  # Also `SystemExit`: `sys.exit()` must not end the instance.
            kind = cause(error)
            if kind is not None:
                host().report_cause(kind)
            raise FailedDelivery(with_well_formed_texts(failure(error))) from error

    def respond(self, request: Request) -> wire.Response:
        """Passes a request to the handler of its route."""
        try:
            _unfinished.clear()
            for route in self._routes:
                if (route.method, route.path) == (request.method, request.route):
                    result = _check_is_finished(route.call(request))
                    _unfinished.check()
                    return response(result)
            raise Problem(404, "this plugin has no such route")
        except BaseException as error:
            raise FailedRequest(error_response(error, f"route {request.method} {request.route}")) from error

    def _subscribe(self, name: str, describe: Callable[[], wire.Subscription], call: Callable[[Event], object]) -> None:
        if any(subscription.name == name for subscription in self._subscriptions):
            raise ValueError(f"two handlers are called `{name}`; give one of them a `name`")
        self._subscriptions.append(_Subscription(describe, name, call))

    def _handler_of(self, event: Event) -> Callable[[Event], object]:
        """The handler of an event: the one with the subscription's name if its pattern matches, otherwise the first one
        whose pattern matches. A subscription created at run time can have the name of a declared one, so the name
        alone does not decide. If no pattern matches, the declared pattern has changed since, and the name decides."""
        named = [own for own in self._subscriptions if own.name == event.subscription]
        for subscription in [*named, *self._subscriptions]:
            if matches(subscription.describe().pattern, event.type):
                return subscription.call
        if named:
            return named[0].call
        raise Reject(f"no handler takes events of type `{event.type}`")

    def _schedule_type(self, schedule: str) -> str:
        """The type of a schedule's events. It contains the plugin's name, so that no plugin gets events of another
        one's schedule by accident."""
        return f"schedule.{self.name}.{schedule}"

    def _describe_schedule(self, schedule: _Schedule) -> wire.Schedule:
        data = None if schedule.data is None else to_json(schedule.data, f"the data of schedule {schedule.name}")
        media_type = None if data is None else "application/json"
        type = self._schedule_type(schedule.name)
        return wire.Schedule(schedule.name, schedule.cron, schedule.timezone, schedule.missed, type, media_type, data)


def _check_is_synchronous(handler: Callable[..., Any]) -> None:
    """Refuses functions whose call only returns a coroutine or generator: their body would never run."""
    checks = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(check(handler) for check in checks):
        name = getattr(handler, "__name__", repr(handler))
        raise TypeError(f"{name}: a handler is a plain function, without `async` and `yield`")


def _check_is_finished(result: object) -> object:
    """Refuses a coroutine or generator as a result: its body would never run. The invocation then has no effects."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError("the handler returned a coroutine or generator, which never runs; use a plain function")
    return result


def _tick(event: Event) -> Tick:
    if event.time is None:
        raise Reject("the event has no time, so the scheduled time is unknown")
    return Tick(parse(event.time), event.attempt, event)


def _with_data(handler: Callable[..., Any]) -> Callable[[Event], object]:
    """Wraps an event handler: passes as many of data and ``Event`` as the handler has parameters."""
    parameters = list(inspect.signature(handler).parameters)
    if len(parameters) > 2:
        raise TypeError(f"{handler.__name__}: an event handler has up to two parameters: the data and the Event")
    wanted = typing.get_type_hints(handler).get(parameters[0]) if parameters else None

    def call(event: Event) -> object:
        try:
            data = shape(decode(event.bytes, event.content_type), wanted)
        except (ValueError, RecursionError) as error:
            # The next attempt would get the same data.
            raise Reject(f"the event's data is invalid: {error}") from None
        return handler(*(data, event)[: len(parameters)])

    return call
