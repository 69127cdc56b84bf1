"""Connects a plugin to the contract: the component's exports, and the host behind its imports. Only the entry that the
build generates imports this module, because ``wit_world`` exists only during a build."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from componentize_py_types import Err
from wit_world.exports import descriptor, http_handler
from wit_world.imports import atomics, bus, client, logging, numbers, random, rules, wall_clock
from wit_world.imports import types
from wit_world.imports import wasi_config_store as configuration
from wit_world.imports import wasi_keyvalue_store as store

from . import _host, _json, _log, _random_seeds, _unfinished
from . import _wire as wire
from ._event import Event
from ._failure import BusError, SendError, StateError
from ._headers import joined
from ._http import Request
from ._numbers import number_error, total
from ._plugin import FailedDelivery, FailedRequest, Plugin

T = TypeVar("T")

# Must run before the plugin's modules are imported.
_random_seeds.install()
_json.install()


def component(plugin: Plugin) -> tuple[type, type, type]:
    """The classes that the component exports."""
    _host.install(_Host())
    _log.start()
    _unfinished.install_loop()
    for stream in (sys.stdout, sys.stderr):
        # Printing must not fail a handler, whatever the text is.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]

    class Descriptor:
        def describe(self) -> descriptor.Descriptor:
            return _descriptor(plugin.describe())

    class EventHandler:
        def handle(self, delivery: types.Delivery) -> None:
            _random_seeds.reseed()
            try:
                plugin.deliver(_event(delivery))
            except FailedDelivery as failed:
                raise Err(_failure(failed.failure)) from None

    class HttpHandler:
        def handle(self, request: http_handler.Request) -> http_handler.Response:
            _random_seeds.reseed()
            try:
                return _response(plugin.respond(_request(request)))
            except FailedRequest as failed:
                raise Err(_response(failed.response)) from None

    return Descriptor, EventHandler, HttpHandler


class _Host:
    def publish(self, message: wire.Message) -> str:
        return _raising_bus_error(lambda: bus.publish(_message(message)))

    def publish_many(self, messages: list[wire.Message]) -> list[str]:
        return _raising_bus_error(lambda: bus.publish_many([_message(message) for message in messages]))

    def cancel(self, id: str) -> None:
        _raising_bus_error(lambda: bus.cancel(id))

    def reply(self, id: str, pattern: str, timeout_ms: int) -> None:
        _raising_bus_error(lambda: bus.reply(id, pattern, timeout_ms))

    def subscribe(self, subscription: wire.RuntimeSubscription) -> None:
        _raising_bus_error(lambda: bus.subscribe(_runtime_subscription(subscription)))

    def unsubscribe(self, name: str) -> None:
        _raising_bus_error(lambda: bus.unsubscribe(name))

    def state_get(self, key: str) -> bytes | None:
        return _in_bucket(lambda bucket: bucket.get(key))

    def state_set(self, key: str, value: bytes) -> None:
        _in_bucket(lambda bucket: bucket.set(key, value))

    def state_delete(self, key: str) -> None:
        _in_bucket(lambda bucket: bucket.delete(key))

    def state_increment(self, key: str, delta: int) -> int:
        return _in_bucket(lambda bucket: _increment(bucket, key, delta))

    def state_add(self, key: str, delta: int) -> None:
        _raising_number_error(key, lambda: numbers.add(key, delta))

    def state_sequence(self, name: str) -> int:
        return _raising_number_error(name, lambda: numbers.sequence(name))

    def state_keys(self) -> list[str]:
        return _in_bucket(_all_keys)

    def config_get(self, key: str) -> str | None:
        return configuration.get(key)

    def report_cause(self, kind: str) -> None:
        # The host reads the context of a critical log line as the cause of the failure that follows.
        logging.log(logging.Level.CRITICAL, kind, "")

    def log(self, level: str, context: str, message: str) -> None:
        logging.log(logging.Level[level.upper()], context, message)

    def now(self) -> float:
        now = wall_clock.now()
        return now.seconds + now.nanoseconds / 1e9

    def random_bytes(self, count: int) -> bytes:
        return random.get_random_bytes(count)

    def send(self, request: wire.Call) -> tuple[int, list[tuple[str, str]], bytes]:
        try:
            response = client.send(client.Request(**dataclasses.asdict(request)))
        except Err as error:
            raise _send_error(error.value) from None
        return response.status, response.headers, response.body


def _send_error(error: Any) -> SendError:
    if isinstance(error, client.Error_Timeout):
        return SendError("timeout", "the request was not answered in time")
    kind = type(error).__name__.rpartition("_")[2].lower()
    return SendError(kind, error.value)


def _raising_bus_error(call: Callable[[], T]) -> T:
    try:
        return call()
    except Err as error:
        kind = type(error.value).__name__.rpartition("_")[2].lower()
        raise BusError(kind, error.value.value) from None


def _in_bucket(call: Callable[[store.Bucket], T]) -> T:
    try:
        with store.open("") as bucket:
            return call(bucket)
    except Err as error:
        reason = getattr(error.value, "value", error.value)
        raise StateError("other", f"the state refused the call: {reason}") from None


def _increment(bucket: store.Bucket, key: str, delta: int) -> int:
    try:
        return atomics.increment(bucket, key, delta)
    except Err as error:
        refused = error
    # `wasi:keyvalue` has one error for all reasons, so `total` finds the reason.
    total(bucket.get(key), delta, key)
    raise refused


def _raising_number_error(key: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Err as error:
        if isinstance(error.value, numbers.Error_NotANumber):
            raise number_error("not-a-number", key) from None
        if isinstance(error.value, numbers.Error_OutOfRange):
            raise number_error("out-of-range", key) from None
        kind = "limit" if isinstance(error.value, numbers.Error_Limit) else "other"
        raise StateError(kind, f"the state refused the call: {error.value.value}") from None


def _all_keys(bucket: store.Bucket) -> list[str]:
    keys: list[str] = []
    cursor = None
    while True:
        page = bucket.list_keys(cursor)
        keys += page.keys
        cursor = page.cursor
        if cursor is None:
            return keys


def _event(delivery: types.Delivery) -> Event:
    event = delivery.event
    return Event(
        id=event.id,
        source=event.source,
        type=event.type,
        subscription=delivery.subscription,
        subject=event.subject,
        time=event.time,
        content_type=event.datacontenttype,
        schema=event.dataschema,
        extensions=dict(event.extensions),
        bytes=event.data,
        attempt=delivery.attempt,
        replay=delivery.replay,
    )


def _request(request: http_handler.Request) -> Request:
    return Request(
        method=request.method,
        route=request.route,
        path=request.path,
        params=dict(request.params),
        query_string=request.query or "",
        headers=joined(request.headers),
        body=request.body,
        received=request.headers,
    )


def _response(response: wire.Response) -> http_handler.Response:
    return http_handler.Response(response.status, response.headers, response.body)


def _failure(failure: wire.Failure) -> types.Failure:
    if failure.rejected:
        return types.Failure_Reject(failure.reason)
    return types.Failure_Retry(types.Retry(failure.delay_ms, failure.reason))


def _message(message: wire.Message) -> bus.Message:
    case, value = message.due
    due: Any = bus.Due_Now() if case == "now" else bus.Due_AfterMs(value) if case == "after-ms" else bus.Due_At(value)
    fields = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    return bus.Message(**{**fields, "due": due})


def _rules(common: wire.Rules) -> dict[str, Any]:
    policy = common.dead_letter_policy
    return {
        "filters": common.filters,
        "start": None if common.start is None else _start(common.start),
        "concurrency": common.concurrency,
        "ordering_key": common.ordering_key,
        "dead_letter_policy": None if policy is None else rules.DeadLetterPolicy[policy.upper()],
        "retry": None if common.retry is None else rules.RetryPolicy(**dataclasses.asdict(common.retry)),
    }


def _start(start: wire.Start) -> Any:
    case = getattr(rules, f"Start_{start.case.capitalize()}")
    return case() if start.value is None else case(start.value)


def _runtime_subscription(subscription: wire.RuntimeSubscription) -> bus.Subscription:
    target = subscription.target
    if target.url is None:
        wanted: Any = bus.Target_Plugin(target.plugin or "")
    else:
        wanted = bus.Target_Webhook(bus.Webhook(target.url, target.secret, target.handshake))
    common = _rules(subscription.rules)
    return bus.Subscription(name=subscription.name, pattern=subscription.pattern, target=wanted, **common)


def _descriptor(described: wire.Descriptor) -> descriptor.Descriptor:
    return descriptor.Descriptor(
        name=described.name,
        version=described.version,
        description=described.description,
        routes=[descriptor.Route(method, path) for method, path in described.routes],
        subscriptions=[_subscription(subscription) for subscription in described.subscriptions],
        schedules=[_schedule(schedule) for schedule in described.schedules],
        publishes=described.publishes,
        subscribes=described.subscribes,
        config=[descriptor.ConfigKey(key.name, key.default, key.description) for key in described.config],
    )


def _subscription(subscription: wire.Subscription) -> descriptor.Subscription:
    return descriptor.Subscription(
        name=subscription.name,
        pattern=subscription.pattern,
        max_backlog=subscription.max_backlog,
        timeout_ms=subscription.timeout_ms,
        **_rules(subscription.rules),
    )


def _schedule(schedule: wire.Schedule) -> descriptor.Schedule:
    missed = None if schedule.missed is None else descriptor.Missed[schedule.missed.replace("-", "_").upper()]
    fields = {field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}
    return descriptor.Schedule(**{**fields, "missed": missed})
