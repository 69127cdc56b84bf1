"""HTTP routes: what a handler takes, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from . import _wire as wire
from ._failure import Reject, Retry, describe, told
from ._fit import octets, optional_text, well_formed, whole
from ._headers import Headers, fields, values
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
    #: By names in lower case; the values of one that comes more than once are joined.
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: The headers as they came.
    received: Sequence[tuple[str, str]] = field(default=(), repr=False)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded. Of one that is given twice the first counts."""
        return dict(reversed(parse_qsl(self.query_string, keep_blank_values=True)))

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def header_values(self, name: str) -> list[str]:
        """The values of a header, one for each time that it comes."""
        return values(self.received, name)

    def json(self, wanted: Any = None) -> Any:
        """The body, read as JSON, and as a dataclass if one is wanted. What does not fit is answered with 415 or
        422."""
        media_type = self.header("content-type") or "application/json"
        if not is_json(media_type):
            raise Problem(415, f"the body must be JSON, and is {media_type}")
        try:
            return shape(loads(self.body), wanted)
        except (ValueError, RecursionError) as error:
            raise Problem(422, f"the body does not fit: {error}") from None


class Problem(Exception):
    """A problem (RFC 9457). Raised by a route's handler, it is the answer, and the request has no effects."""

    def __init__(self, status: int, detail: str, code: str | None = None) -> None:
        super().__init__(detail)
        #: From 400 to 599.
        self.status = whole(status, "the status of a problem", 400, 599)
        self.detail = well_formed(told(detail))
        self.code = optional_text(code, "the code of a problem")

    def to_wire(self) -> wire.Response:
        """The response as the contract has it."""
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
    #: A list of values is as many headers: ``{"set-cookie": ["a=1", "b=2"]}``.
    headers: Headers = field(default_factory=dict)

    def to_wire(self) -> wire.Response:
        """The response as the contract has it."""
        status = whole(self.status, "the status of a response", 200, 599)
        media_type, body = None, octets(self.body, "the body of a response")
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


def response(answer: Any) -> wire.Response:
    """What a handler returned, as the contract has it: nothing is 204, a text is text, and anything else is JSON."""
    if answer is None:
        return Response(status=204).to_wire()
    if isinstance(answer, Response):
        return answer.to_wire()
    if isinstance(answer, BaseException):
        # It was meant to be raised.
        raise answer
    if isinstance(answer, (bytes, bytearray, memoryview)):
        raise TypeError("a route answers bytes by Response(body=…), with a content-type among its headers")
    if isinstance(answer, tuple):
        raise TypeError("a route answers one value; with a status it is Response(status=201, json=…)")
    return (Response(text=answer) if isinstance(answer, str) else Response(json=answer)).to_wire()


def refusal(error: BaseException, what: str = "the handler") -> wire.Response:
    """What a handler raised, as the response that it means."""
    if isinstance(error, Problem):
        return error.to_wire()
    if isinstance(error, Retry):
        return Problem(503, told(error)).to_wire()
    if isinstance(error, Reject):
        return Problem(422, told(error)).to_wire()
    # What was raised may tell of the inside, such as a query or an address: it is for the log alone.
    log.error("%s failed: %s", what, describe(error))
    return Problem(500, "the handler failed; the host's log tells why", "handler-failed").to_wire()
