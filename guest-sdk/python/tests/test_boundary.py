"""Every value that a handler passes to the host is converted or raises an exception: the generated glue would trap."""

import dataclasses
import enum
import unittest
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Dict, List, Literal, Optional, Union

import sandbus
from sandbus import Message, Plugin, Problem, Reject, Response, RetryPolicy, Retry, Webhook, _fit, _host, client, log, state
from sandbus import PluginTarget
from sandbus._shape import shape
from sandbus.testing import FakeHost

#: Unusual texts, some of which are not valid in UTF-8.
TEXTS = {
    "a lone high surrogate": "a\ud800b",
    "a lone low surrogate": "\udc00",
    "a reversed pair": "\udc00\ud800",
    "NUL": "a\0b",
    "a long text": "ä" * 100_000,
}

HTTP = "https://a.example/"


def raising(error):
    def call(text):
        raise error(text)

    return call


def caused(text):
    raise RuntimeError(text) from ValueError(text)


#: Every call to the host that has a text, as a function of the text.
CALLS = {
    "state.get": lambda text: state.get(text),
    "state.set": lambda text: state.set(text, 1),
    "a value": lambda text: state.set("key", {text: text}),
    "state.set_bytes": lambda text: state.set_bytes(text, b""),
    "state.delete": lambda text: state.delete(text),
    "state.exists": lambda text: state.exists(text),
    "state.increment": lambda text: state.increment(text),
    "state.keys": lambda text: state.keys(text),
    "config.get": lambda text: sandbus.config.get(text),
    "a log line": lambda text: log.info("%s", text),
    "a type": lambda text: sandbus.publish(text),
    "data": lambda text: sandbus.publish("thing", {text: text}),
    "data in text": lambda text: sandbus.publish("thing", text, content_type="text/plain"),
    "a subject": lambda text: sandbus.publish("thing", subject=text),
    "a content type": lambda text: sandbus.publish("thing", "1", content_type=text),
    "a data schema": lambda text: sandbus.publish("thing", schema=text),
    "an extension's name": lambda text: sandbus.publish("thing", extensions={text: "a"}),
    "an extension's value": lambda text: sandbus.publish("thing", extensions={"a": text}),
    "a type of several": lambda text: sandbus.publish_many([Message("thing"), Message(text)]),
    "an id to cancel": lambda text: sandbus.cancel(text),
    "an id to reply to": lambda text: sandbus.reply(text, "thing"),
    "a reply's pattern": lambda text: sandbus.reply(sandbus.publish("thing"), text),
    "a subscription's name": lambda text: sandbus.subscribe(text, "a", PluginTarget("b")),
    "a subscription's pattern": lambda text: sandbus.subscribe("a", text, PluginTarget("b")),
    "a subscription's plugin": lambda text: sandbus.subscribe("a", "a", PluginTarget(text)),
    "a webhook": lambda text: sandbus.subscribe("a", "a", Webhook(text)),
    "a secret": lambda text: sandbus.subscribe("a", "a", Webhook(HTTP, secret=text)),
    "an ordering key": lambda text: sandbus.subscribe("a", "a", PluginTarget("b"), ordering_key=text),
    "a filter": lambda text: sandbus.subscribe("a", "a", PluginTarget("b"), filters=[{"exact": {"a": text}}]),
    "a cause": lambda text: sandbus.subscribe("a", "a", PluginTarget("b"), retry=Retry(permanent=[text])),
    "unsubscribe": lambda text: sandbus.unsubscribe(text),
    "a method": lambda text: client.send(text, HTTP),
    "an address": lambda text: client.get(HTTP + text),
    "a header's name": lambda text: client.get(HTTP, headers={text: "a"}),
    "a header's value": lambda text: client.get(HTTP, headers={"a": text}),
    "a body in text": lambda text: client.post(HTTP, text=text),
    "a body in JSON": lambda text: client.post(HTTP, json={text: text}),
    "a reason to retry": raising(Retry),
    "a reason to reject": raising(Reject),
    "an error": raising(RuntimeError),
    "an error with a cause": caused,
    "an exit": raising(SystemExit),
}


def texts(value: Any):
    """The texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts(each)
    elif isinstance(value, dict):
        yield from texts(list(value.items()))
    elif dataclasses.is_dataclass(value):
        yield from texts(list(vars(value).values()))


def is_valid_utf_8(text: str) -> bool:
    return text == _fit.well_formed(text)


class _Strict:
    """A host that records texts that are not valid in UTF-8. The generated glue would trap."""

    def __init__(self, host, noted):
        self._host, self._noted = host, noted

    def __getattr__(self, name):
        call = getattr(self._host, name)

        def checked(*given):
            self._noted += [f"{name}: {text!a}" for text in texts(given) if not is_valid_utf_8(text)]
            return call(*given)

        return checked


def invalid_texts(function) -> list[str]:
    """The texts that a function passes to the host and that are not valid in UTF-8."""
    noted: list[str] = []
    plugin = Plugin("things", publishes=[">"], subscribes=[">"])
    fake = FakeHost(plugin).answers("*")

    def strictly():
        seam = _host.install(None)
        _host.install(_Strict(seam, noted))
        try:
            return function()
        finally:
            _host.install(seam)

    try:
        left = fake.run(strictly)
    except sandbus._plugin.FailedDelivery as failed:
        left = failed.failure
    except sandbus._plugin.FailedRequest as refused:
        left = refused.response
    return noted + [f"left: {text!a}" for text in texts(left) if not is_valid_utf_8(text)]


class Boundary(unittest.TestCase):
    def test_every_text_becomes_valid_utf_8_or_raises(self):
        for place, call in CALLS.items():
            for name, text in TEXTS.items():
                with self.subTest(place, text=name):
                    plugin = Plugin("things")
                    plugin.on("thing", name="thing")(lambda data, event: call(text) and None)
                    plugin.route("GET /thing")(lambda request: call(text) and None)
                    event = sandbus.Event(id="1", source="/a", type="thing", subscription="thing")
                    self.assertEqual(invalid_texts(lambda: plugin.deliver(event)), [])
                    request = sandbus.Request("GET", "/thing", "/thing")
                    self.assertEqual(invalid_texts(lambda: plugin.respond(request)), [])

    def test_every_response_is_valid_utf_8_or_a_failure_with_a_reason(self):
        for name, text in TEXTS.items():
            for answer in (
                text,
                {text: text},
                Response(headers={"a": text}),
                Response(headers={text: "a"}),
                Response(text=text),
            ):
                with self.subTest(name, answer=answer):
                    plugin = Plugin("things")
                    plugin.route("GET /thing")(lambda request: answer)
                    request = sandbus.Request("GET", "/thing", "/thing")
                    self.assertEqual(invalid_texts(lambda: plugin.respond(request)), [])

    def test_identifiers_are_refused_and_not_changed(self):
        host = FakeHost(Plugin("things"))
        for name in ("state.get", "state.set", "config.get", "a type", "unsubscribe", "a header's name"):
            with self.assertRaisesRegex(ValueError, "lone surrogate"):
                host.run(lambda: CALLS[name]("\ud800"))

    def test_each_lone_surrogate_becomes_one_replacement_and_pairs_become_characters(self):
        for text, expected in (
            ("a", "a"),
            ("\ud83d\ude00", "😀"),
            ("\ud800", "\ufffd"),
            ("a\udc00\ud800b", "a\ufffd\ufffdb"),
            ("\ud800😀", "\ufffd😀"),
        ):
            self.assertEqual(_fit.well_formed(text), expected)
            self.assertEqual(sandbus._payload.to_json([text]).decode(), f'["{expected}"]')

    def test_numbers_outside_the_contracts_range_raise(self):
        host = FakeHost(Plugin("things", publishes=[">"], subscribes=[">"])).answers("*")
        subscribe = lambda **rules: sandbus.subscribe("a", "a", PluginTarget("b"), **rules)  # noqa: E731
        for name, call in {
            "concurrency": lambda value: subscribe(concurrency=value),
            "start": lambda value: subscribe(start=value),
            "attempts": lambda value: subscribe(retry=RetryPolicy(max_attempts=value)),
            "factor": lambda value: subscribe(retry=RetryPolicy(backoff_multiplier=value)),
            "increment": lambda value: state.increment("count", value),
            "random_bytes": sandbus.random_bytes,
            "max_backlog": lambda value: Plugin("a").on("a", max_backlog=value),
            "status": lambda value: Problem(value, ""),
        }.items():
            for value in (-1.5, float("nan"), float("inf"), 2**64, -(2**64), "many", {}):
                with self.subTest(name, value=value), self.assertRaises((ValueError, TypeError)):
                    host.run(lambda: call(value))
        for length in ("99999999999999999999d", "36526d", timedelta(days=36_526), timedelta.max, "-1s", timedelta(seconds=-1), 5):
            with self.assertRaises(ValueError):
                host.run(lambda: sandbus.publish("a", delay=length))
        # Numbers in the state have 64 bits, and are exact beyond 2^53.
        self.assertEqual(host.run(lambda: state.increment("count", 2**53 + 1)), 2**53 + 1)

    def test_an_exit_ends_the_handler(self):
        plugin = Plugin("things")
        plugin.on("thing", name="thing")(lambda: exit(1))
        outcome = FakeHost(plugin).deliver("thing")
        self.assertEqual((outcome.outcome, outcome.cause), ("retry", "exception"))


class Headers(unittest.TestCase):
    def test_a_list_of_values_becomes_one_header_each(self):
        for headers in ({"Set-Cookie": ["a=1", "b=2"]}, [("set-cookie", "a=1"), ("Set-Cookie", "b=2")]):
            plugin = Plugin("web")
            plugin.route("GET /")(lambda request: Response(headers=headers, text=""))
            answer = FakeHost(plugin).request("GET /")
            self.assertEqual(answer.header_values("Set-Cookie"), ["a=1", "b=2"])
        self.assertEqual(Response(headers={"age": 5, "vary": [], "x": None}).to_wire().headers, [("age", "5")])
        for value in ("a\r\nset-cookie: b=1", "a\nb", "a\0b"):
            with self.assertRaisesRegex(ValueError, "line break"):
                Response(headers={"x": value}).to_wire()

    def test_repeated_headers_can_be_read_separately_and_joined(self):
        plugin = Plugin("web")

        @plugin.route("GET /")
        def route(request):
            answer = client.get(HTTP, headers={"accept": ["a/b", "c/d"]})
            tags = [request.header_values("X-Tag"), request.header("x-tag"), request.header("cookie")]
            return [*tags, request.header_values("none"), answer.header_values("Set-Cookie")]

        host = FakeHost(plugin).answers("GET *", **{"set-cookie": ["a=1", "b=2"]})
        answer = host.request("GET /", headers={"X-Tag": ["a", "b, c"], "cookie": ["a=1", "b=2"]})
        self.assertEqual(answer.json(), [["a", "b, c"], "a, b, c", "a=1; b=2", [], ["a=1", "b=2"]])
        self.assertEqual(host.sent[0].headers, {"accept": "a/b, c/d"})


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Line:
    article: str
    count: int = 1


@dataclass
class Order:
    id: int
    lines: List[Line] = dataclasses.field(default_factory=list)
    note: Optional[str] = None
    price: float = 0
    by_name: Dict[str, Line] = dataclasses.field(default_factory=dict)
    colour: Colour = Colour.RED
    size: Literal["s", "m", 1] = "s"
    either: Union[int, str, Line] = 0
    paid: "bool | None" = None
    anything: Any = None


class Shapes(unittest.TestCase):
    def test_data_that_does_not_fit_says_where(self):
        for given, expected in (
            ({}, "Order needs `id`"),
            ([], "Order must be an object, not an array"),
            ({"id": "x"}, "/id: must be an integer, not a string"),
            ({"id": True}, "/id: must be an integer, not a boolean"),
            ({"id": 1.0}, "/id: must be an integer, not a number"),
            ({"id": None}, "/id: must be an integer, not null"),
            ({"id": 1, "lines": {}}, "/lines: must be an array, not an object"),
            ({"id": 1, "lines": [{"article": "a"}, {}]}, "/lines/1: Line needs `article`"),
            ({"id": 1, "lines": [{"article": 5}]}, "/lines/0/article: must be a string, not an integer"),
            ({"id": 1, "note": 5}, "/note: must be a string, not an integer"),
            ({"id": 1, "price": "5"}, "/price: must be a number, not a string"),
            ({"id": 1, "by_name": {"a": {"article": 1}}}, "/by_name/a/article: must be a string"),
            ({"id": 1, "colour": "blue"}, "/colour: 'blue' is not a valid Colour"),
            ({"id": 1, "size": True}, "/size: must be one of 's', 'm', 1, not True"),
            ({"id": 1, "either": []}, "/either: fits none of int | str | Line"),
            ({"id": 1, "paid": 0}, "/paid: must be a boolean, not an integer"),
        ):
            with self.subTest(given), self.assertRaisesRegex(ValueError, "^" + expected.replace("|", r"\|")):
                shape(given, Order)

    def test_data_that_fits_is_converted(self):
        order = shape(
            {"id": 1, "lines": [{"article": "a", "more": 1}], "price": 5, "colour": "red", "either": {"article": "b"}},
            Order,
        )
        self.assertEqual(order, Order(1, [Line("a")], price=5, either=Line("b")))
        self.assertEqual(shape([1, None], list[Optional[int]]), [1, None])
        self.assertEqual(shape({"a": 1}, dict[str, Any]), {"a": 1})
        self.assertEqual(shape("x", Any), "x")


if __name__ == "__main__":
    unittest.main()
