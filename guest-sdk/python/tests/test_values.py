"""Values that JSON lacks, invalid responses, unfinished work, and secrecy of exceptions."""

import asyncio
import datetime
import decimal
import enum
import functools
import gc
import logging
import unittest
import uuid
from dataclasses import dataclass

from sandbus import Plugin, Problem, Reject, Response, log, publish, random_bytes, state
from sandbus import _unfinished
from sandbus.testing import FakeHost

CYCLIC: dict = {"a": [{}]}
CYCLIC["a"][0]["again"] = CYCLIC


@dataclass
class Order:
    price: object


class Colour(enum.Enum):
    RED = "red"


#: Values that JSON lacks (RFC 8259, sections 3 and 4), with the path and the type that the error must name.
MISFITS = {
    "nan": ({"price": float("nan")}, "/price", "nan"),
    "infinity": ([1, float("-inf")], "/1", "-inf"),
    "a set": ({"a": {"tags": {1}}}, "/a/tags", "a set; write a sorted list"),
    "a frozenset": ({"tags": frozenset()}, "/tags", "a frozenset"),
    "bytes": ({"data": b"a"}, "/data", "a bytes; write them as text"),
    "a datetime": ({"a/b": datetime.datetime(2026, 1, 1)}, "/a~1b", "a datetime; write its isoformat()"),
    "a date": ({"on": datetime.date(2026, 1, 1)}, "/on", "a date"),
    "a Decimal": (Order(decimal.Decimal("1.0")), "/price", "a Decimal"),
    "a UUID": ({"id": uuid.UUID(int=1)}, "/id", "a UUID"),
    "a number as key": ({"a": {1: "x"}}, "/a", "the key 1, which is not a str"),
    "None as key": ({"a": {None: "x"}}, "/a", "the key None"),
    "a tuple as key": ({"a": {(1, 2): "x"}}, "/a", "the key (1, 2)"),
    "a cycle": (CYCLIC, "/a/0/again", "contains itself"),
    "an object": ({"a": object()}, "/a", "a object"),
    "a function": ({"a": len}, "/a", "a builtin_function_or_method"),
    "a class": ({"a": Order}, "/a", "a type"),
    "a generator": ({"a": (each for each in ())}, "/a", "a generator"),
    "an exception": ({"a": ValueError("x")}, "/a", "a ValueError"),
    "a complex number": ({"a": 1j}, "/a", "a complex"),
}

#: Invalid responses, each with a part of the log line.
RESPONSES = {
    "bytes": (lambda: b"a", "Response(body=…)"),
    "a pair": (lambda: ({"a": 1}, 201), "Response(status=201, json=…)"),
    "a set": (lambda: {1}, "a set"),
    "two bodies": (lambda: Response(json=1, text="a"), "choose one of"),
    "a number as text": (lambda: Response(text=7), "must be a str, not int"),
    "a text as body": (lambda: Response(body="a"), "must be bytes, not str"),
    # RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
    "a body with 204": (lambda: Response(204, json=1), "status 204 has no body"),
    "a body with 205": (lambda: Response(205, text="a"), "status 205 has no body"),
    "a body with 304": (lambda: Response(304, body=b"a"), "status 304 has no body"),
    "an informational status": (lambda: Response(101), "from 200 to 599, not 101"),
    "status 600": (lambda: Response(600), "from 200 to 599, not 600"),
    "a status in text": (lambda: Response("200"), "not str"),
    # RFC 9110, sections 5.1 and 5.5.
    "a header's name with a space": (lambda: Response(headers={"x y": "a"}), "'x y' is not the name of a header"),
    "a header without a name": (lambda: Response(headers={"": "a"}), "'' is not the name"),
    "a header's name beyond ASCII": (lambda: Response(headers={"größe": "a"}), "is not the name"),
    "a header with a line break": (lambda: Response(headers={"a": "b\r\nc: d"}), "line break"),
    "a header with a control character": (lambda: Response(headers={"a": "\x07"}), "control character"),
    "an object as a header": (lambda: Response(headers={"a": {}}), "must be a str, not dict"),
    "a datetime as a header": (lambda: Response(headers={"a": datetime.datetime(2026, 1, 1)}), "not datetime"),
    "a boolean as a header": (lambda: Response(headers={"a": True}), "not bool"),
    "headers in text": (lambda: Response(headers="a: b"), "a dict or pairs"),
    "headers that are no pairs": (lambda: Response(headers=[("a",)]), "a pair of name and value"),
}


class Unshown:
    def __str__(self) -> str:
        raise RuntimeError("never")

    __repr__ = __str__


class Hidden(Exception):
    def __str__(self) -> str:
        raise RuntimeError("never")


def returning(value: object) -> Plugin:
    plugin = Plugin("things", publishes=[">"])
    plugin.on("published", name="published")(lambda: publish("thing.seen", value))
    plugin.on("stored", name="stored")(lambda: state.set("last", value))
    plugin.route("GET /answer")(lambda _: Response(json=value))
    return plugin


class Values(unittest.TestCase):
    def test_a_value_that_json_lacks_is_an_error_that_says_where(self):
        for name, (value, path, kind) in MISFITS.items():
            host = FakeHost(returning(value))
            for type in ("published", "stored"):
                with self.subTest(name, type=type):
                    ended = host.deliver(type, {})
                    self.assertEqual(ended.outcome, "retry")
                    self.assertIn(f"cannot be written as JSON at {path}: it is ", ended.reason)
                    self.assertIn(kind, ended.reason)
            with self.subTest(name, type="answered"):
                self.assertEqual(host.request("GET /answer").status, 500)
                self.assertIn("route GET /answer failed: uncaught", host.logs[0])
                self.assertIn(f"the response cannot be written as JSON at {path}", host.logs[0])
            self.assertEqual((host.state, host.published), ({}, []))

    def test_json_is_written_as_python_writes_it(self):
        host = FakeHost(Plugin("things"))
        value = {"a": (1, None, True), "colour": Colour.RED, "order": Order(1.5), "large": 2**70}
        host.run(lambda: state.set("a", value))
        expected = {"a": [1, None, True], "colour": "red", "order": {"price": 1.5}, "large": 2**70}
        self.assertEqual(host.state, {"a": expected})

    def test_an_invalid_response_is_refused_and_the_log_names_the_route(self):
        for name, (answer, told) in RESPONSES.items():
            with self.subTest(name):
                plugin = Plugin("things")
                plugin.route("GET /a")(lambda _, answer=answer: answer())
                host = FakeHost(plugin)
                self.assertEqual(host.request("GET /a").status, 500)
                self.assertIn(told, host.logs[0])
                self.assertIn("route GET /a", host.logs[0])

    def test_a_problem_has_a_status_from_400_to_599_and_may_be_returned(self):
        for status in (100, 199, 200, 204, 302, 399, 600, 1000):
            with self.assertRaisesRegex(ValueError, f"from 400 to 599, not {status}"):
                Problem(status, "x")
        plugin = Plugin("things")
        plugin.route("GET /a")(lambda _: Problem(404, "no such thing"))
        answer = FakeHost(plugin).request("GET /a")
        self.assertEqual(answer.json(), {"detail": "no such thing", "status": 404, "title": "Not Found"})

    def test_only_the_log_gets_the_text_of_an_uncaught_exception(self):
        def failing(_):
            raise ValueError("the password is 1234") from KeyError("1234")

        plugin = Plugin("things")
        plugin.route("GET /a")(failing)
        host = FakeHost(plugin)
        answer = host.request("GET /a")
        self.assertEqual((answer.status, answer.json()["code"]), (500, "handler-failed"))
        self.assertNotIn(b"1234", answer.body)
        self.assertIn("route GET /a failed: uncaught ValueError: the password is 1234\n    at failing", host.logs[0])

    def test_values_whose_text_fails_can_be_logged_and_raised(self):
        def logged(_):
            log.info("%s", Unshown())
            log.info(Unshown())
            log.info("%d", "no number")
            log.info("%s %s", "too few")
            log.info(list(range(1_000_000)))
            log.info(CYCLIC)
            try:
                raise Hidden
            except Hidden:
                log.exception("failed")

        def raised(_):
            raise Hidden

        def rejected(_):
            raise Reject(Unshown())

        plugin = Plugin("things")
        for handler in (logged, raised, rejected):
            plugin.on(handler.__name__)(handler)
        host = FakeHost(plugin)
        self.assertEqual(host.deliver("logged", {}).outcome, "ack")
        self.assertEqual(len(host.logs), 7)
        self.assertLess(max(map(len, host.logs)), 40_000)
        self.assertIn("failed\nHidden: [a Hidden that cannot be shown: RuntimeError]\n    at logged (test_values.py", host.logs[6])
        self.assertIn("cannot be shown", host.deliver("raised", {}).reason)
        self.assertEqual(host.deliver("rejected", {}).outcome, "reject")

    def test_a_coroutine_that_nobody_awaits_fails_the_attempt(self):
        async def save():
            state.set("saved", True)

        def dropped(_):
            state.set("begun", True)
            save()

        def kept(_):
            coroutine = save()
            state.set("begun", coroutine is not None)

        plugin = Plugin("things")
        plugin.on("dropped")(dropped)
        plugin.on("kept")(kept)
        plugin.route("GET /a")(dropped)
        host = FakeHost(plugin)
        for type in ("dropped", "kept"):
            ended = host.deliver(type, {})
            self.assertEqual((ended.outcome, host.state), ("retry", {}))
            self.assertRegex(ended.reason, r"the coroutine of `.*save` \(test_values.py:\d+\) was never awaited")
        self.assertEqual(host.request("GET /a").status, 500)
        self.assertIn("never awaited", host.logs[-1])

    def test_a_components_event_loop_runs_tasks_and_reports_unfinished_ones(self):
        async def save(name):
            await asyncio.sleep(0.001)
            state.set(name, True)

        async def failing():
            raise ValueError("floats")

        async def all():
            await asyncio.gather(save("a"), save("b"))
            async with asyncio.timeout(1):
                await save("c")

        async def left():
            state.set("begun", True)
            self.task = asyncio.create_task(save("left"))

        async def failed():
            asyncio.create_task(failing())
            await asyncio.sleep(0)

        async def waiting():
            await asyncio.get_running_loop().create_future()

        def run(main):
            loop = _unfinished.new_event_loop()
            try:
                loop.run_until_complete(main())
                gc.collect()
            finally:
                for task in asyncio.all_tasks(loop):
                    task.cancel()
                loop.close()

        plugin = Plugin("things")
        for main in (all, left, failed, waiting):
            plugin.on(main.__name__, name=main.__name__)(functools.partial(run, main))
        host = FakeHost(plugin)
        self.assertEqual(host.deliver("all", {}).outcome, "ack")
        self.assertEqual(host.state, {"a": True, "b": True, "c": True})
        for type, told in [
            ("left", "save` (test_values.py"),
            ("failed", "caused by ValueError: floats"),
            ("waiting", "waits for something that cannot happen"),
        ]:
            ended = host.deliver(type, {})
            self.assertEqual((ended.outcome, len(host.state)), ("retry", 3), type)
            self.assertIn(told, ended.reason)

    def test_many_random_bytes_are_fetched_in_chunks(self):
        def drawn():
            self.assertEqual(len(random_bytes(5_000_000)), 5_000_000)
            self.assertEqual(random_bytes(0), b"")
            for count in (2**30, -1, 1.5, True):
                self.assertRaises(ValueError, random_bytes, count)

        FakeHost(Plugin("things")).run(drawn)


if __name__ == "__main__":
    logging.raiseExceptions = False
    unittest.main()
