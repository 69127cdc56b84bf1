"""Sending by ``wasi:http``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from componentize_py_types import Err
from wit_world.imports import outgoing_handler, streams
from wit_world.imports import wasi_http_types as types

from . import _wire as wire
from ._failure import SendError

T = TypeVar("T")

#: As much as a stream takes in one call (wasi:io/streams, ``blocking-write-and-flush``).
_PART = 4_096
#: As much as is read in one call.
_READ = 65_536
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


def send(call: wire.Call) -> tuple[int, list[tuple[str, str]], bytes]:
    """Sends a request and waits for the whole answer."""
    scheme, authority, path = _parts(call.url)
    request = types.OutgoingRequest(_fields(call))
    _set("method", lambda: request.set_method(_method(call.method)))
    _set("scheme", lambda: request.set_scheme(scheme))
    _set("host", lambda: request.set_authority(authority))
    _set("path", lambda: request.set_path_with_query(path))
    outgoing = request.body()
    pending = _attempt(lambda: outgoing_handler.handle(request, _options(call)), lambda code: _error(code, authority))
    with pending:
        _write(outgoing, call.body)
        with pending.subscribe() as ready:
            ready.block()
        with _answered(pending.get(), authority) as response:
            with response.headers() as fields:
                headers = [(name.lower(), value.decode(errors="replace")) for name, value in fields.entries()]
            return response.status(), headers, _read(response)


def _parts(url: str) -> tuple[Any, str, str]:
    """Scheme, host with its port, and path with its query."""
    match = re.match(r"(https?)://([^/?#]+)([^#]*)", url, re.IGNORECASE)
    if match is None:
        raise SendError("invalid", f"`{url}` is no http or https address")
    scheme = types.Scheme_Https() if match[1].lower() == "https" else types.Scheme_Http()
    path = match[3]
    return scheme, match[2], path if path.startswith("/") else f"/{path}"


def _fields(call: wire.Call) -> types.Fields:
    fields = types.Fields()
    length = [("content-length", str(len(call.body)))] if call.body else []
    for name, value in [*call.headers, *length]:
        what = f"the header `{name}`"
        _attempt(lambda name=name, value=value: fields.append(name, value.encode()), lambda _, what=what: _malformed(what))
    return fields


def _method(method: str) -> Any:
    return getattr(types, f"Method_{method.capitalize()}")() if method in _METHODS else types.Method_Other(method)


def _options(call: wire.Call) -> types.RequestOptions | None:
    if call.timeout_ms is None:
        return None
    options, nanoseconds = types.RequestOptions(), call.timeout_ms * 1_000_000
    for set in (options.set_connect_timeout, options.set_first_byte_timeout, options.set_between_bytes_timeout):
        try:
            set(nanoseconds)
        except Err:
            pass  # A host that knows no timeouts refuses them, and waits as long as it likes.
    return options


def _write(outgoing: types.OutgoingBody, body: bytes) -> None:
    with outgoing.write() as stream:
        for start in range(0, len(body), _PART):
            try:
                stream.blocking_write_and_flush(body[start : start + _PART])
            except Err as error:
                # The other side may answer before it has read everything.
                if isinstance(error.value, streams.StreamError_Closed):
                    break
                raise _broken("the request", error.value) from None
    try:
        types.OutgoingBody.finish(outgoing, None)
    except Err:
        pass  # Whether all of it was read is seen by the answer.


def _answered(ready: Any, authority: str) -> types.IncomingResponse:
    """A response that is ready: a result within a result."""
    if ready is None or isinstance(ready, Err):
        raise SendError("unreachable", "the request has no answer: it was not ready")
    result = ready.value
    if isinstance(result, Err):
        raise _error(result.value, authority)
    return result.value


def _read(response: types.IncomingResponse) -> bytes:
    parts: list[bytes] = []
    with response.consume() as body, body.stream() as stream:
        while True:
            try:
                parts.append(stream.blocking_read(_READ))
            except Err as error:
                if isinstance(error.value, streams.StreamError_Closed):
                    return b"".join(parts)
                raise _broken("the answer", error.value) from None


def _set(what: str, call: Callable[[], None]) -> None:
    _attempt(call, lambda _: _malformed(f"its {what}"))


def _attempt(call: Callable[[], T], meaning: Callable[[Any], SendError]) -> T:
    try:
        return call()
    except Err as error:
        raise meaning(error.value) from None


def _malformed(what: str) -> SendError:
    return SendError("invalid", f"the request is malformed: {what}")


def _broken(what: str, reason: Any) -> SendError:
    return SendError("unreachable", f"{what} broke off: {reason.value.to_debug_string()}")


_TIMEOUTS = (types.ErrorCode_ConnectionTimeout, types.ErrorCode_ConnectionReadTimeout, types.ErrorCode_HttpResponseTimeout)


def _error(code: Any, authority: str) -> SendError:
    if isinstance(code, types.ErrorCode_HttpRequestDenied):
        grant = f'[grants] http = ["{authority}"]'
        return SendError("denied", f"requests to `{authority}` are not granted; the sidecar does: {grant}")
    if isinstance(code, types.ErrorCode_LoopDetected):
        own = "is a listener of this Sandbus itself, which sends no requests to its own listeners, whatever is granted"
        return SendError("denied", f"`{authority}` {own}; publish an event instead")
    if isinstance(code, (types.ErrorCode_HttpRequestUriInvalid, types.ErrorCode_HttpRequestMethodInvalid)):
        return _malformed("its address or its method")
    if isinstance(code, _TIMEOUTS):
        return SendError("timeout", "the request was not answered in time")
    if isinstance(code, types.ErrorCode_InternalError):
        return SendError("unreachable", f"the request has no answer: {code.value or 'it failed'}")
    return SendError("unreachable", f"the request has no answer: {type(code).__name__.removeprefix('ErrorCode_')}")
