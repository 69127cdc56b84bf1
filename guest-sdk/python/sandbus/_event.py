"""Events as handlers receive them."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ._renamed import renamed_options


@renamed_options("Event", {"data": "bytes"})
@dataclass(frozen=True)
class Event:
    """An event with its attributes and its delivery."""

    #: The id, which is the same in every attempt. Pass source and id to other services as an idempotency key.
    id: str
    source: str
    type: str
    #: The name of the subscription that the delivery belongs to.
    subscription: str
    subject: str | None = None
    #: When the event happened, in RFC 3339.
    time: str | None = None
    content_type: str | None = None
    schema: str | None = None
    extensions: dict[str, str] = field(default_factory=dict)
    #: The payload as it was received.
    bytes: builtins.bytes | None = None
    #: The number of this attempt, from 1.
    attempt: int = 1
    #: Whether the delivery belongs to a replay.
    replay: bool = False

    def __getattr__(self, name: str) -> Any:
        if name == "data":
            raise AttributeError(
                "`Event.data` was renamed to `Event.bytes`; the handler's first parameter has the data"
            )
        raise AttributeError(f"an Event has no attribute `{name}`")

    @property
    def causation(self) -> str | None:
        """The id of the event that was being handled when this one was published; `causationsource` is its source."""
        return self.extensions.get("causationid")

    @property
    def correlation(self) -> str | None:
        """The correlation id of the cause tree: the id of its first event, whose source is `correlationsource`. If a
        client waits for a reply, it is an id that the host created."""
        return self.extensions.get("correlationid")

    @property
    def hops(self) -> int:
        """The number of steps from the first event of the cause tree."""
        return int(self.extensions.get("hops", "0"))


@dataclass(frozen=True)
class Tick:
    """A scheduled time at which a handler runs."""

    #: The scheduled time. It is before now if the time was missed, or if the delivery is retried.
    due: datetime
    attempt: int
    event: Event
