"""Requests to other services. The host sends them only to servers that the operator grants in the plugin's sidecar:
``[grants] http = ["api.example.com"]``.

    from sandbus import client

    rates = client.get("https://api.example.com/rates").success().json()

A request is sent at once and is not part of the transaction: if the delivery fails later and is retried, the request is
sent again. Send the event's source and id as an idempotency key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import _wire as wire
from ._duration import Duration, milliseconds
from ._failure import SendError
from ._fit import identifier, optional_text, to_bytes
from ._headers import Headers, fields, joined, values
from ._host import host
from ._json import loads
from ._payload import to_json
from ._renamed import renamed_members
from ._shape import shape

__all__ = ["Response", "SendError", "delete", "get", "patch", "post", "put", "send"]

#: The number of characters of a body that an error shows.
_EXCERPT = 200


@dataclass(frozen=True)
class Response:
    """The response to a request."""

    status: int
    #: By name in lower case. The values of a repeated header are joined.
    headers: dict[str, str]
    body: bytes
    #: The headers as they were received.
    received: Sequence[tuple[str, str]] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is from 200 to 299."""
        return 200 <= self.status < 300

    def success(self) -> Response:
        """Returns the response if its status is from 200 to 299, and otherwise raises a ``SendError``."""
        if self.ok:
            return self
        body = self.body.decode(errors="replace")[:_EXCERPT]
        excerpt = f": {body}" if body else ""
        raise SendError("status", f"the request was answered {self.status}{excerpt}", self.status)

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def header_values(self, name: str) -> list[str]:
        """All values of a header that may be repeated, such as ``set-cookie``."""
        return values(self.received, name)

    def text(self) -> str:
        return self.body.decode()

    def json(self, wanted: Any = None) -> Any:
        """Parses the body as JSON, into ``wanted`` if it is given, such as a dataclass."""
        return shape(loads(self.body), wanted)


def send(
    method: str,
    url: str,
    *,
    json: Any = None,
    text: str | None = None,
    body: bytes = b"",
    headers: Headers | None = None,
    timeout: Duration | None = None,
) -> Response:
    """Sends a request and waits for the whole response, for at most ``timeout``. The handler's own timeout may end it
    sooner. Any status is a response, and not an error."""
    sent, media_type, body = fields(headers), None, to_bytes(body, "the body of a request")
    if (json is not None) + (text is not None) + (body != b"") > 1:
        raise ValueError("choose one of `json`, `text` and `body`")
    if json is not None:
        media_type, body = "application/json", to_json(json, "the body of the request")
    elif text is not None:
        media_type, body = "text/plain; charset=utf-8", (optional_text(text, "the text of a request") or "").encode()
    if media_type is not None and not any(name == "content-type" for name, _ in sent):
        sent.append(("content-type", media_type))
    method = identifier(method, "the method of a request").upper()
    identifier(url, "the URL of a request")
    status, received, content = host().send(wire.Call(method, url, sent, body, milliseconds(timeout, "timeout")))
    return Response(status, joined(received), content, received)


def get(url: str, **options: Any) -> Response:
    """A ``GET`` request."""
    return send("GET", url, **options)


def post(url: str, **options: Any) -> Response:
    """A ``POST`` request."""
    return send("POST", url, **options)


def put(url: str, **options: Any) -> Response:
    """A ``PUT`` request."""
    return send("PUT", url, **options)


def patch(url: str, **options: Any) -> Response:
    """A ``PATCH`` request."""
    return send("PATCH", url, **options)


def delete(url: str, **options: Any) -> Response:
    """A ``DELETE`` request."""
    return send("DELETE", url, **options)


__getattr__ = renamed_members("sandbus.client", {"Answer": "Response"})
