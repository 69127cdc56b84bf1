"""HTTP routes: requests to handlers, and their responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from . import _wire as wire
from ._failure import Reject, Retry, cause, describe, to_text
from ._fit import integer, optional_text, to_bytes, well_formed
from ._headers import Headers, fields, values
from ._host import host
from ._json import loads
from ._log import log
from ._payload import is_json, to_json
from ._shape import shape


@dataclass(frozen=True)
class Request:
    """A request on one of the plugin's routes."""

    #: In upper case.
    method: str
    #: The route that matched.
    route: str
    #: The path, percent-encoded as it was sent.
    path: str
    #: The route's parameters, decoded.
    params: dict[str, str] = field(default_factory=dict)
    query_string: str = ""
    #: By name in lower case. The values of a repeated header are joined.
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: The headers as they were received.
    received: Sequence[tuple[str, str]] = field(default=(), repr=False)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded. If a parameter is given twice, the first value counts."""
        return dict(reversed(parse_qsl(self.query_string, keep_blank_values=True)))

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def header_values(self, name: str) -> list[str]:
        """All values of a header, which may be repeated."""
        return values(self.received, name)

    def json(self, wanted: Any = None) -> Any:
        """Parses the body as JSON, into ``wanted`` if it is given, such as a dataclass. Raises a ``Problem``
        with status 415 or 422 if the body does not fit."""
        media_type = self.header("content-type") or "application/json"
        if not is_json(media_type):
            raise Problem(415, f"the body must be JSON, not {media_type}")
        try:
            return shape(loads(self.body), wanted)
        except (ValueError, RecursionError) as error:
            raise Problem(422, f"the body is invalid: {error}") from None


class Problem(Exception):
    """A problem (RFC 9457). If a route's handler raises it, it is the response, and the request has no effects."""

    def __init__(self, status: int, detail: str, code: str | None = None) -> None:
        super().__init__(detail)
        #: From 400 to 599.
        self.status = integer(status, "the status of a problem", 400, 599)
        self.detail = well_formed(to_text(detail))
        self.code = optional_text(code, "the code of a problem")

    def to_wire(self) -> wire.Response:
        """Converts it to the contract's response."""
        try:
            title = HTTPStatus(self.status).phrase
        except ValueError:
            title = "Client Error" if self.status < 500 else "Server Error"
        content = {"code": self.code, "detail": self.detail, "status": self.status, "title": title}
        body = to_json({name: value for name, value in content.items() if value is not None})
        return wire.Response(self.status, [("content-type", "application/problem+json")], body)


@dataclass(frozen=True)
class Response:
    """A response, with one of ``json``, ``text`` and ``body``."""

    status: int = 200
    json: Any = None
    text: str | None = None
    body: bytes = b""
    #: A list of values becomes one header for each value: ``{"set-cookie": ["a=1", "b=2"]}``.
    headers: Headers = field(default_factory=dict)

    def to_wire(self) -> wire.Response:
        """Converts it to the contract's response."""
        status = integer(self.status, "the status of a response", 200, 599)
        media_type, body = None, to_bytes(self.body, "the body of a response")
        if (self.json is not None) + (self.text is not None) + (body != b"") > 1:
            raise ValueError("choose one of `json`, `text` and `body`")
        if self.json is not None:
            media_type, body = "application/json", to_json(self.json, "the body of the response")
        elif self.text is not None:
            text = optional_text(self.text, "the text of a response") or ""
            media_type, body = "text/plain; charset=utf-8", text.encode()
        # RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
        if status in (204, 205, 304) and body:
            raise ValueError(f"a response with status {status} has no body; leave it out, or answer 200")
        headers = fields(self.headers)
        if media_type is not None and not any(name == "content-type" for name, _ in headers):
            headers.append(("content-type", media_type))
        return wire.Response(status, headers, body)


def response(result: Any) -> wire.Response:
    """Converts a handler's result to a response: None to 204, a ``str`` to text, and anything else to JSON."""
    if result is None:
        return Response(status=204).to_wire()
    if isinstance(result, Response):
        return result.to_wire()
    if isinstance(result, BaseException):
        # Returning an exception is a mistake: the handler meant to raise it.
        raise result
    if isinstance(result, (bytes, bytearray, memoryview)):
        raise TypeError("to respond with bytes, return Response(body=…) with a content-type header")
    if isinstance(result, tuple):
        raise TypeError("a route returns one value; to set a status, return Response(status=201, json=…)")
    return (Response(text=result) if isinstance(result, str) else Response(json=result)).to_wire()


def error_response(error: BaseException, what: str = "the handler") -> wire.Response:
    """Converts an exception of a handler to a response."""
    if isinstance(error, Problem):
        return error.to_wire()
    if isinstance(error, Retry):
        return Problem(503, to_text(error)).to_wire()
    if isinstance(error, Reject):
        return Problem(422, to_text(error)).to_wire()
    # The exception may contain internals, such as a query or an address, so only the log gets it.
    log.error("%s failed: %s", what, describe(error))
    if cause(error) == "out-of-memory":
        host().report_cause("out-of-memory")
    return Problem(500, "the handler failed; see the host's log", "handler-failed").to_wire()
