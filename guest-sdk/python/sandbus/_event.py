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

    #: The same at every attempt: towards the outside world it makes a handler idempotent.
    id: str
    source: str
    type: str
    #: The subscription that it is delivered for.
    subscription: str
    subject: str | None = None
    #: When it happened, in RFC 3339.
    time: str | None = None
    content_type: str | None = None
    schema: str | None = None
    extensions: dict[str, str] = field(default_factory=dict)
    #: The payload as it came.
    bytes: builtins.bytes | None = None
    #: Which attempt this is, from 1.
    attempt: int = 1
    #: Whether it is history that is delivered again on request.
    replay: bool = False

    def __getattr__(self, name: str) -> Any:
        if name == "data":
            raise AttributeError("`Event.data` was renamed to `Event.bytes`; the handler's first parameter has the data")
        raise AttributeError(f"an Event has no attribute `{name}`")

    @property
    def causation(self) -> str | None:
        """The id of the event that was being handled when this one was published; `causationsource` is its source."""
        return self.extensions.get("causationid")

    @property
    def correlation(self) -> str | None:
        """The id of the flow: that of its first event, whose source is `correlationsource`; or, where a client waits for
        the reply, one that the host made."""
        return self.extensions.get("correlationid")

    @property
    def hops(self) -> int:
        """How many steps this event is away from the first one of its flow."""
        return int(self.extensions.get("hops", "0"))


@dataclass(frozen=True)
class Tick:
    """One of a schedule's times."""

    #: The time that it stands for, which is earlier than now if it was missed or is tried again.
    due: datetime
    attempt: int
    event: Event
