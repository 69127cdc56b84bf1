"""Publishing and subscribing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import _wire as wire
from ._duration import Duration, milliseconds
from ._fit import identifier, non_empty, optional_text, with_well_formed_texts
from ._host import host
from ._http import Response
from ._payload import encode
from ._rules import RetryPolicy, rules
from ._time import rfc3339


@dataclass(frozen=True)
class Message:
    """An event to publish."""

    type: str
    data: Any = None
    subject: str | None = None
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)
    #: A delay before the event enters the log.
    delay: Duration | None = None
    #: The time at which the event enters the log.
    at: datetime | None = None
    #: By default application/json, and application/octet-stream for bytes.
    content_type: str | None = None
    schema: str | None = None

    def to_wire(self) -> wire.Message:
        """Converts the message to the contract's record."""
        type = identifier(self.type, "the type of an event")
        content_type = optional_text(self.content_type, f"publish {type}: content_type")
        media_type, data = encode(self.data, content_type, f"the data of {type}")
        return wire.Message(
            type,
            optional_text(self.subject, f"publish {type}: subject"),
            media_type,
            optional_text(self.schema, f"publish {type}: schema"),
            [_extension(type, name, value) for name, value in self.extensions.items()],
            data,
            self._due(),
        )

    def _due(self) -> tuple[str, int | str | None]:
        if self.delay is not None and self.at is not None:
            raise ValueError("publish: choose `delay` or `at`")
        if self.delay is not None:
            return "after-ms", milliseconds(self.delay, "delay")
        return ("now", None) if self.at is None else ("at", rfc3339(self.at))


def _extension(type: str, name: str, value: object) -> tuple[str, str]:
    """An extension attribute. Numbers and booleans have the form that CloudEvents gives them (1.0.2, section 3.1)."""
    what = f"publish {type}: the extension `{name}`"
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = optional_text(str(value) if isinstance(value, int) else value, what)
    if text is None:
        raise ValueError(f"{what} has no value")
    return identifier(name, f"publish {type}: the name of an extension"), text


def publish(
    type: str,
    data: Any = None,
    *,
    subject: str | None = None,
    extensions: Mapping[str, str | int | bool] | None = None,
    delay: Duration | None = None,
    at: datetime | None = None,
    content_type: str | None = None,
    schema: str | None = None,
) -> str:
    """Publishes an event with this invocation's commit, and returns its id, which is the same at every attempt. The
    options are those of ``Message``."""
    return host().publish(Message(type, data, subject, extensions or {}, delay, at, content_type, schema).to_wire())


def publish_many(messages: Iterable[Message]) -> list[str]:
    """Publishes several events, all or none, and returns their ids in order."""
    events = list(messages) if isinstance(messages, Iterable) else [messages]
    for event in events:
        if not isinstance(event, Message) or event is messages:
            wanted = 'a list of Message, such as [Message("a.b", data)]'
            raise TypeError(f"publish_many takes {wanted}, not {type(event).__name__}")
    return host().publish_many([message.to_wire() for message in events])


def cancel(id: str) -> None:
    """Cancels a delayed event that this plugin published. It is not an error if the event has already entered the log or
    does not exist."""
    host().cancel(non_empty(id, "the id of an event"))


def reply(id: str, pattern: str, timeout: Duration = "5s") -> Response:
    """Makes the client wait for a reply. This request must have published the event ``id``. After the commit, the
    client gets the data of the first event in the same cause tree that matches the pattern. If no such event arrives
    within the timeout (5 s by default, at most a minute), the client gets a 504. The reply's extensions can set the
    status (``httpstatus: "402"``) and headers (``httpheaders: '{"retry-after":"30"}'``)."""
    identifier(id, "the id of an event")
    identifier(pattern, "the pattern of a reply")
    host().reply(id, pattern, milliseconds(timeout, "timeout") or 0)
    return Response(status=200)


@dataclass(frozen=True)
class Plugin:
    """The handlers of a plugin, as the target of a subscription."""

    name: str


@dataclass(frozen=True)
class Webhook:
    """An HTTP endpoint, as the target of a subscription. The operator must have granted its server."""

    url: str
    #: The key that signs events: ``whsec_`` followed by base64.
    secret: str | None = field(default=None, repr=False)
    #: Whether the endpoint must agree before it gets events.
    handshake: bool = False


def subscribe(
    name: str,
    pattern: str,
    to: Plugin | Webhook,
    *,
    filters: Sequence[dict[str, Any]] | None = None,
    start: str | datetime | int | None = None,
    concurrency: int | None = None,
    ordering_key: str | None = None,
    dead_letter_policy: str | None = None,
    retry: RetryPolicy | None = None,
) -> None:
    """Creates a durable subscription. If this plugin has already created one with this name, the new rules replace the
    old ones, and the subscription keeps its position."""
    if not isinstance(to, (Plugin, Webhook)):
        wanted = 'a PluginTarget or a Webhook, such as PluginTarget("billing")'
        raise TypeError(f"to must be {wanted}, not {type(to).__name__}")
    if isinstance(to, Webhook):
        target = wire.Target(url=to.url, secret=to.secret, handshake=to.handshake)
    else:
        target = wire.Target(plugin=to.name)
    common = rules(filters, start, concurrency, ordering_key, dead_letter_policy, retry)
    identifier(name, "the name of a subscription")
    identifier(pattern, f"the pattern of subscription {name}")
    non_empty(target.url if isinstance(to, Webhook) else target.plugin, f"the target of subscription {name}")
    host().subscribe(with_well_formed_texts(wire.RuntimeSubscription(name, pattern, target, common)))


def unsubscribe(name: str) -> None:
    """Deletes a subscription that this plugin created. A subscription that does not exist is not an error."""
    host().unsubscribe(identifier(name, "the name of a subscription"))
