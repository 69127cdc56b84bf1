"""Routes: the rules of methods and paths, which the host has as well, and how requests are matched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
#: Paths that the host itself serves.
_RESERVED = ("/events",)
_MAX_BYTES = 1_024
_MAX_PARAMETERS = 16
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_CHARACTERS = _UNRESERVED | frozenset("!$&'()*+,;=:@")


def parse_route(route: str) -> tuple[str, str]:
    """The method and the path of a route such as ``POST /hello/{name}``."""
    match = re.fullmatch(r"\s*(\S+)\s+(\S.*?)\s*", route, re.DOTALL)
    if match is None:
        raise ValueError(f'route {route!r}: write a method and a path, such as "POST /hello/{{name}}"')
    method, path = match[1].upper(), match[2]
    if method not in METHODS:
        raise ValueError(f"route {route!r}: unknown method; the methods are {', '.join(METHODS)}")
    fault = path_fault(path)
    if fault is not None:
        raise ValueError(f"the path of route `{route}` is invalid: {fault}")
    return method, path


def path_fault(path: str) -> str | None:
    """Why a path of a route is invalid, and what to write instead; none if it is valid."""
    try:
        _check(path)
    except _Fault as fault:
        return str(fault)
    return None


class _Fault(Exception):
    """Why a path is invalid."""


def _check(path: str) -> None:
    if path in _RESERVED:
        raise _Fault("it is reserved for the host; choose another")
    if len(path.encode(errors="replace")) > _MAX_BYTES:
        raise _Fault(f"it is longer than {_MAX_BYTES} bytes")
    if not path.startswith("/"):
        raise _Fault("it does not begin with a slash")
    parameters = path.count("{")
    if parameters > _MAX_PARAMETERS:
        raise _Fault(f"it has {parameters} parameters; at most {_MAX_PARAMETERS} are allowed")
    names: set[str] = set()
    *segments, last = path[1:].split("/")
    for segment in segments:
        if segment == "":
            raise _Fault("it has an empty segment (`//`); write one slash")
    for segment, is_last in [(segment, False) for segment in segments] + [(last, True)]:
        name = _check_segment(segment, is_last)
        if name is not None and name in names:
            raise _Fault(f"it has the parameter `{name}` twice; rename one")
        if name is not None:
            names.add(name)


def _check_segment(segment: str, is_last: bool) -> str | None:
    """Checks a segment, and returns the name of its parameter, if it has one."""
    if re.sub("%2e", ".", segment, flags=re.IGNORECASE) in (".", ".."):
        raise _Fault(f"it has the segment `{segment}`, which clients resolve before they send a request")
    if segment.startswith(":"):
        raise _Fault(f"it has the segment `{segment}`; write a parameter as `{{{segment[1:]}}}`")
    if segment.startswith("*"):
        raise _Fault(f"it has the segment `{segment}`; write the rest of a path as `{{*rest}}`")
    if "{{" in segment or "}}" in segment:
        raise _Fault("it has a doubled brace; write %7B and %7D for the characters themselves")
    before, parameter, after = _divide(segment)
    if "{" in after:
        raise _Fault(f"the segment `{segment}` has more than one parameter")
    if "}" in before or "}" in after:
        raise _Fault("it has `}` without `{`")
    if "{" in before:
        raise _Fault("it has `{` without `}`")
    _check_text(before)
    _check_text(after)
    if parameter is None:
        return None
    name = parameter.removeprefix("*")
    if name != parameter and (not is_last or before or after):
        raise _Fault(f"`{{{parameter}}}` is not the last segment of the path")
    if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
        raise _Fault(f"`{{{parameter}}}` is not a parameter; name it with letters from a to z, digits, `-` and `_`")
    return name


def _divide(segment: str) -> tuple[str, str | None, str]:
    """Divides a segment into the text before its parameter, the parameter, and the text after it."""
    match = re.fullmatch(r"([^{]*)\{([^}]*)\}(.*)", segment, re.DOTALL)
    return (segment, None, "") if match is None else (match[1], match[2], match[3])


def _check_text(text: str) -> None:
    """Checks that a text has only characters of a segment (``pchar`` in RFC 3986, section 3.3), in normal form."""
    for index, character in enumerate(text):
        if character == "?":
            raise _Fault("it has a query; a route matches the path only, and its handler can read the query")
        if character == "#":
            raise _Fault("it has a fragment, which clients do not send; remove it")
        if character in "<>":
            raise _Fault("it has angle brackets; write a parameter as `{name}`")
        if character == "%":
            _check_escape(text[index + 1 : index + 3])
        elif character not in _PATH_CHARACTERS:
            escaped = "".join(f"%{byte:02X}" for byte in character.encode(errors="replace"))
            raise _Fault(f"it has `{character}`; write {escaped} instead")


def _check_escape(digits: str) -> None:
    """Checks that the digits of an escape are those of its normal form (RFC 3986, section 6.2.2)."""
    if re.fullmatch("[0-9A-Fa-f]{2}", digits) is None:
        raise _Fault("`%` is not followed by two hexadecimal digits; write `%25` for the character itself")
    if digits != digits.upper():
        raise _Fault(f"it has `%{digits}`; write the digits in upper case: `%{digits.upper()}`")
    character = chr(int(digits, 16))
    if character in _UNRESERVED:
        raise _Fault(f"it has `%{digits}`, which means the same as `{character}`; write `{character}`")


def _normal_form(path: str) -> str:
    """The normal form of the path of a request (RFC 3986, section 6.2.2), in which it is compared with routes."""

    def normal(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if character in _UNRESERVED else escape[0].upper()

    return re.sub("%([0-9A-Fa-f]{2})", normal, path)


def find_route(paths: Iterable[str], path: str) -> tuple[str, dict[str, str]] | None:
    """The route among these paths that takes a request's path, and its parameters, as the host finds it."""
    sent = _normal_form(path).split("/")
    found = [(route, params) for route in paths if (params := _parameters(route, sent)) is not None]
    return min(found, key=lambda one: [_breadth(segment) for segment in one[0].split("/")], default=None)


def _parameters(route: str, sent: list[str]) -> dict[str, str] | None:
    """The parameters of a path's segments, if it is the route's."""
    segments = route.split("/")
    params: dict[str, str] = {}
    for index, segment in enumerate(segments):
        before, parameter, after = _divide(segment)
        if parameter is not None and parameter.startswith("*"):
            rest = "/".join(sent[index:])
            return {**params, parameter[1:]: unquote(rest)} if rest else None
        if index >= len(sent):
            return None
        text = sent[index]
        if parameter is None:
            if text != segment:
                return None
            continue
        if len(text) <= len(before) + len(after) or not text.startswith(before) or not text.endswith(after):
            return None
        params[parameter] = unquote(text[len(before) : len(text) - len(after)])
    return params if len(segments) == len(sent) else None


def _breadth(segment: str) -> tuple[int, int, int]:
    """How much a segment takes: a text, a parameter with the longest texts around it, any parameter, the rest."""
    before, parameter, after = _divide(segment)
    return (0 if parameter is None else 2 if parameter.startswith("*") else 1, -len(before), -len(after))
