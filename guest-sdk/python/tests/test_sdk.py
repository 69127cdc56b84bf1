import json
import pathlib
import unittest
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import sandbus
from sandbus import (
    Event,
    Message,
    Plugin,
    PluginTarget,
    Problem,
    Reject,
    Response,
    Retry,
    RetryPolicy,
    StateError,
    Webhook,
    client,
    log,
    state,
)
from sandbus._rules import is_pattern, matches
from sandbus._time import parse
from sandbus.testing import FakeHost, Outcome


@dataclass
class Line:
    article: str


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)


def handling(handler, **options):
    """A host with a plugin that handles ``thing``."""
    plugin = Plugin("things", publishes=["thing.>"], subscribes=[">"], **options)
    plugin.on("thing", name="thing")(handler)
    return FakeHost(plugin)


def routed(route, handler):
    """A host with a route."""
    plugin = Plugin("web", publishes=["order.>"])
    plugin.route(route)(handler)
    return FakeHost(plugin)


class EventTypes(unittest.TestCase):
    def test_types_and_patterns_are_as_in_the_table(self):
        path = pathlib.Path(__file__).parents[2] / "conformance" / "event-types.json"
        table = json.loads(path.read_text())
        for text in table["patterns"]:
            self.assertTrue(is_pattern(text), text)
        for text in table["malformed"]:
            self.assertFalse(is_pattern(text), repr(text))
        for pattern, type, taken in table["matches"]:
            self.assertEqual(matches(pattern, type), taken, (pattern, type))

    def test_a_pattern_has_at_most_255_bytes(self):
        self.assertTrue(is_pattern("a." * 127 + "a"))
        self.assertTrue(is_pattern("ä" * 127))
        self.assertFalse(is_pattern("ä" * 128))


class HostAttributes(unittest.TestCase):
    def test_attributes_that_the_host_sets_are_dropped_from_what_is_published_as_in_the_table(self):
        path = pathlib.Path(__file__).parents[2] / "conformance" / "host-attributes.json"
        table = json.loads(path.read_text())
        reserved = table["names"] + [prefix + rest for prefix in table["prefixes"] for rest in ("", "x")]
        given = {name: "1" for name in reserved + table["others"]}
        host = handling(lambda thing: sandbus.publish("thing.seen", {}, extensions=given) and None)
        self.assertEqual(host.deliver("thing", {}).outcome, "ack")
        self.assertEqual(list(host.published[0].extensions), table["others"])


class Times(unittest.TestCase):
    def test_only_rfc_3339_is_parsed(self):
        path = pathlib.Path(__file__).parents[2] / "conformance" / "rfc3339.json"
        table = json.loads(path.read_text())
        beginning = datetime(1970, 1, 1, tzinfo=timezone.utc)
        for text, milliseconds in table["valid"].items():
            # A datetime cannot have the year 0.
            if not text.startswith("0000"):
                with self.subTest(text):
                    late = parse(text) - beginning - timedelta(milliseconds=milliseconds)
                    self.assertTrue(timedelta() <= late < timedelta(milliseconds=1), late)
        for text in table["invalid"]:
            with self.subTest(text), self.assertRaises(ValueError):
                parse(text)


class Descriptors(unittest.TestCase):
    def test_the_descriptor_has_all_declarations(self):
        plugin = Plugin(
            "shop", version="1.2.3", publishes=["order.priced"], config={"greeting": "Hello", "token": None}
        )

        @plugin.on(
            "order.placed",
            filters=[{"exact": {"subject": "x"}}],
            start=7,
            ordering_key="/customer/id",
            dead_letter_policy="park",
            max_backlog=10,
            retry=RetryPolicy(
                max_attempts=5,
                initial_delay="200ms",
                backoff_multiplier=1.5,
                max_delay=timedelta(minutes=1),
                non_retryable=["trap"],
            ),
            timeout="2s",
        )
        def placed(order):
            pass

        @plugin.schedule("0 9 * * *", timezone="Europe/Vienna", missed="skip", data={"a": 1})
        def daily(tick):
            pass

        @plugin.route("post /orders/{id}")
        def order(request):
            pass

        described = plugin.describe()
        first, second = described.subscriptions
        self.assertEqual(
            (first.name, first.pattern, first.max_backlog, first.timeout_ms), ("placed", "order.placed", 10, 2_000)
        )
        self.assertEqual(json.loads(first.rules.filters), [{"exact": {"subject": "x"}}])
        self.assertEqual((first.rules.start.case, first.rules.start.value), ("position", 7))
        self.assertEqual((first.rules.ordering_key, first.rules.dead_letter_policy), ("/customer/id", "park"))
        retry = first.rules.retry
        self.assertEqual((retry.attempts, retry.first_delay_ms, retry.factor_percent), (5, 200, 150))
        self.assertEqual((retry.max_delay_ms, retry.jitter_percent, retry.permanent), (60_000, None, ["trap"]))
        self.assertEqual((second.name, second.pattern), ("daily", "schedule.shop.daily"))
        self.assertEqual(described.schedules[0].data, b'{"a":1}')
        self.assertEqual(described.routes, [("POST", "/orders/{id}")])
        self.assertEqual(described.publishes, ["order.priced", "schedule.shop.daily"])
        self.assertEqual(
            [(key.name, key.default) for key in described.config], [("greeting", "Hello"), ("token", None)]
        )

    def test_pyproject_names_a_plugin_that_has_no_name(self):
        described = Plugin().described_by("shop", "1.0.0", "Sells").describe()
        self.assertEqual((described.name, described.version, described.description), ("shop", "1.0.0", "Sells"))
        self.assertEqual(Plugin("own").described_by("shop", None, None).name, "own")
        with self.assertRaisesRegex(ValueError, "has no name"):
            Plugin().describe()

    def test_mistakes_in_a_declaration_are_named(self):
        plugin = Plugin("shop")
        for mistake, expected in [
            (lambda: plugin.on("a", timeout="soon"), "not a duration"),
            (lambda: plugin.on("a", start="then"), "start must be"),
            (lambda: plugin.on("a", start=datetime(2030, 1, 1)), "no time zone"),
            (lambda: plugin.on("a", dead_letter_policy="drop"), "dead_letter_policy"),
            (lambda: plugin.schedule("* * * * *", missed="never"), "missed must be"),
            (lambda: plugin.route("/orders"), "write a method and a path"),
        ]:
            with self.assertRaisesRegex(ValueError, expected):
                mistake()
        plugin.on("a.b", name="twice")(lambda: None)
        with self.assertRaisesRegex(ValueError, "two handlers are called `twice`"):
            plugin.on("a.c", name="twice")(lambda: None)
        with self.assertRaisesRegex(TypeError, "has up to two parameters"):
            plugin.on("a.d")(lambda one, two, three: None)

    def test_a_handler_that_returns_a_coroutine_or_generator_is_refused(self):
        async def later(data):
            pass

        def bit_by_bit(data):
            yield data

        plugin = Plugin("shop")
        for handler in (later, bit_by_bit):
            for declare in (plugin.on("a"), plugin.schedule("* * * * *"), plugin.route("GET /a")):
                with self.assertRaisesRegex(TypeError, f"{handler.__name__}: a handler is a plain function"):
                    declare(handler)
        # If the declaration does not show it, the call fails and has no effects.
        outcome = handling(lambda data: later(data)).deliver("thing", {})
        self.assertIn("a coroutine or generator, which never runs", outcome.reason)


class Handlers(unittest.TestCase):
    def test_an_acknowledged_delivery_keeps_its_effects(self):
        def handle(thing, event: Event):
            log.info("got %s in attempt %s", thing, event.attempt)
            state.set("last", thing)
            state.increment("count", 2)
            sandbus.publish("thing.seen", {"of": event.id}, subject="s", extensions={"tenant": "t"}, delay="1m")

        host = handling(handle)
        self.assertEqual(host.deliver("thing", {"a": "ä"}, attempt=2), Outcome("ack"))
        self.assertEqual(host.state, {"last": {"a": "ä"}, "count": 2})
        self.assertEqual(host.logs, ["got {'a': 'ä'} in attempt 2"])
        [seen] = host.published
        self.assertEqual((seen.type, seen.data, seen.subject), ("thing.seen", {"of": "event"}, "s"))
        self.assertEqual((seen.extensions, seen.due - host.now), ({"tenant": "t"}, timedelta(minutes=1)))

    def test_numbers_are_added_to_and_a_failed_run_leaves_a_gap_in_its_sequence(self):
        drawn = []

        def handle(thing):
            state.add("count", 2)
            state.add("none", 0)
            drawn.append(state.sequence("orders"))
            if thing["fails"]:
                raise Retry("not yet")
            self.assertEqual(state.get("count"), state.increment("count", 0))

        host = handling(handle)
        for fails in [False, True, False]:
            host.deliver("thing", {"fails": fails})
        self.assertEqual((host.state, drawn), ({"count": 4}, [1, 2, 3]))

    def test_a_sum_beyond_64_bits_and_a_text_are_refused(self):
        host = handling(lambda thing: state.add("n", 1))
        for value, reason in [(2**63 - 1, "exceeds the range"), ("text", "not a number")]:
            host.run(lambda: state.set("n", value))
            self.assertIn(reason, host.deliver("thing").reason)

    def test_a_failed_delivery_has_no_effects_and_says_why(self):
        for raised, expected in [
            (Retry("not yet", delay="5s"), Outcome("retry", "not yet", 5_000)),
            (Retry("not yet"), Outcome("retry", "not yet")),
            (Reject("never"), Outcome("reject", "never")),
        ]:

            def handle(thing):
                state.set("a", 1)
                sandbus.publish("thing.seen")
                raise raised

            host = handling(handle)
            self.assertEqual(host.deliver("thing"), expected)
            self.assertEqual((host.state, host.published), ({}, []))

    def test_an_exception_that_is_returned_counts_as_raised(self):
        def handle(thing):
            state.set("a", 1)
            return Reject("never")

        host = handling(handle)
        self.assertEqual((host.deliver("thing"), host.state), (Outcome("reject", "never"), {}))

    def test_values_that_json_lacks_are_not_written(self):
        ended = handling(lambda thing: sandbus.publish("thing.seen", {"mean": float("nan")})).deliver("thing")
        self.assertIn("cannot be written as JSON", ended.reason)
        retry_after = Response(503, headers={"Retry-After": 30}).to_wire()
        self.assertEqual(retry_after.headers, [("retry-after", "30")])

    def test_a_schedules_subscription_is_serial(self):
        plugin = Plugin("shop")
        plugin.schedule("* * * * *", name="tick")(lambda tick: None)
        self.assertEqual(plugin.describe().subscriptions[0].rules.concurrency, 1)

    def test_an_uncaught_error_is_retried_and_its_reason_has_causes_and_the_handlers_lines(self):
        def broken():
            try:
                {}["port"]
            except KeyError as error:
                raise RuntimeError("the mail server is away") from error

        ended = handling(broken).deliver("thing")
        self.assertEqual(ended.outcome, "retry")
        self.assertRegex(
            ended.reason,
            r"^uncaught RuntimeError: the mail server is away\n    at broken \(test_sdk.py:\d+\)\ncaused by KeyError",
        )

    def test_data_that_does_not_fit_and_calls_that_the_bus_refuses_reject_the_delivery(self):
        def order(order: Order):
            sandbus.publish("other")

        for data, reason in [
            (b"{", "is invalid"),
            ([], "Order must be an object"),
            ({}, "`id`"),
            ({"id": 1}, "does not declare `other`"),
        ]:
            ended = handling(order).deliver("thing", data, content_type="application/json" if data == b"{" else None)
            self.assertEqual(ended.outcome, "reject")
            self.assertIn(reason, ended.reason)

    def test_dataclasses_are_read_from_and_written_as_objects(self):
        seen = []

        def order(order: Order):
            seen.append(order)
            sandbus.publish("thing.seen", order)

        host = handling(order)
        host.deliver("thing", {"id": 1, "lines": [{"article": "bread", "more": 1}], "extra": None})
        self.assertEqual(seen, [Order(1, [Line("bread")])])
        self.assertEqual(host.published[0].data, {"id": 1, "lines": [{"article": "bread"}]})

    def test_data_is_decoded_by_its_media_type(self):
        seen = []
        host = handling(lambda data: seen.append(data))
        host.deliver("thing", "plain", content_type="text/plain")
        host.deliver("thing", b"\1", content_type="image/png")
        host.deliver("thing")
        host.deliver("thing", [1], content_type="application/cloudevents+json")
        host.deliver("thing", [1], content_type="foo/json")
        host.deliver("thing", b"\xe4", content_type="text/plain; charset=iso-8859-1")
        self.assertEqual(seen, ["plain", b"\1", None, [1], [1], b"\xe4"])

    def test_a_delayed_event_can_be_cancelled_until_it_is_due(self):
        def handle(id):
            if id:
                sandbus.cancel(id)
            else:
                sandbus.publish("thing.late", at=host.now + timedelta(seconds=1))

        host = handling(handle)
        host.deliver("thing")
        host.deliver("thing")
        first, second = host.published
        host.deliver("thing", first.id)
        self.assertEqual([event.id for event in host.published], [second.id])
        host.advance(timedelta(seconds=1))
        host.deliver("thing", second.id)
        self.assertEqual(len(host.published), 1)

    def test_subscriptions_are_created_and_deleted(self):
        def handle(thing):
            if thing == "stop":
                return sandbus.unsubscribe("hook")
            sandbus.subscribe("hook", "thing.>", Webhook("https://example.com", secret="s"), ordering_key="subject")
            sandbus.subscribe("other", "thing.>", PluginTarget("billing"))

        host = handling(handle)
        host.deliver("thing", "start")
        self.assertEqual(host.subscriptions["hook"].target.url, "https://example.com")
        self.assertEqual(host.subscriptions["hook"].rules.ordering_key, "subject")
        self.assertEqual(host.subscriptions["other"].target.plugin, "billing")
        host.deliver("thing", "stop")
        self.assertEqual(list(host.subscriptions), ["other"])
        self.assertNotIn("'s'", repr(Webhook("https://example.com", secret="s")))

    def test_state_configuration_clock_and_batches(self):
        def handle():
            self.assertIsNone(state.get("nothing"))
            self.assertEqual(state.get("nothing", 7), 7)
            self.assertTrue(state.exists("kept"))
            state.delete("kept")
            state.set("b/1", 1)
            state.set("b/2", None)
            self.assertEqual(state.keys("b/"), ["b/1", "b/2"])
            with self.assertRaisesRegex(StateError, "not a number"):
                state.increment("text")
            self.assertEqual((sandbus.config.get("greeting"), sandbus.config.get("token")), ("Hi", None))
            with self.assertRaisesRegex(KeyError, "sidecar"):
                sandbus.config.require("token")
            self.assertEqual(sandbus.now(), datetime(2030, 1, 1, tzinfo=timezone.utc))
            self.assertEqual(len(sandbus.publish_many([Message("thing", 1), Message("thing", 2, subject="two")])), 2)

        plugin = Plugin("things", publishes=["thing"], config={"greeting": "Hello", "token": None})
        plugin.on("thing", name="thing")(handle)
        host = FakeHost(plugin, config={"greeting": "Hi"}, state={"kept": True, "text": "x"})
        self.assertEqual(host.deliver("thing"), Outcome("ack"))
        self.assertEqual([(event.data, event.subject) for event in host.published], [(1, None), (2, "two")])

    def test_a_schedules_handler_gets_the_scheduled_time(self):
        plugin = Plugin("things")
        plugin.schedule("0 9 * * *", name="daily")(lambda tick: state.set("due", tick.due.isoformat()))
        host = FakeHost(plugin)
        host.tick("daily", datetime(2030, 1, 2, 9, tzinfo=timezone.utc))
        self.assertEqual(host.state, {"due": "2030-01-02T09:00:00+00:00"})
        with self.assertRaisesRegex(LookupError, "no schedule `hourly`"):
            host.tick("hourly")

    def test_a_delivery_of_a_run_time_subscription_goes_to_the_handler_whose_pattern_matches(self):
        host = handling(lambda: state.set("handled", True))
        host.deliver("thing", subscription="made-later")
        self.assertEqual(host.state, {"handled": True})
        self.assertEqual(host.deliver("other", subscription="made-later").outcome, "reject")


class Requests(unittest.TestCase):
    def test_requests_get_the_tests_responses_and_are_recorded(self):
        def thing(data, event: Event):
            answer = client.post("https://a.example/orders", json={"id": event.id}, headers={"Authorization": "x"})
            state.set("line", answer.success().json(Line).article)

        host = handling(thing).answers("POST https://a.example/*", json={"article": "bread"})
        self.assertEqual(host.deliver("thing", {}), Outcome("ack"))
        self.assertEqual(host.state, {"line": "bread"})
        (sent,) = host.sent
        self.assertEqual((sent.method, sent.url, sent.body), ("POST", "https://a.example/orders", b'{"id":"event"}'))
        self.assertEqual(sent.headers, {"authorization": "x", "content-type": "application/json"})

    def test_a_failed_request_is_retried_only_if_that_can_help(self):
        def thing(data):
            client.get("https://a.example/", timeout="1s").success()

        def outcome(status):
            return handling(thing).answers("GET https://a.example/", status, body=b"why").deliver("thing", {})

        self.assertEqual(outcome(503), Outcome("retry", "the request was answered 503: why", cause="request"))
        self.assertEqual(outcome(429).outcome, "retry")
        self.assertEqual(outcome(404).outcome, "reject")
        self.assertEqual(handling(thing).deliver("thing", {}).outcome, "retry")


class Routes(unittest.TestCase):
    def test_a_request_reaches_its_route_with_parameters_query_and_body(self):
        def hello(request):
            content = [request.params["name"], request.query["loud"], request.json(), request.header("Content-Type")]
            return Response(status=201, json=content, headers={"X-Served-By": "web"})

        answer = routed("POST /hello/{name}", hello).request("POST /hello/Ada%20L?loud=a+b&loud=c", json=[1])
        self.assertEqual((answer.status, answer.json()), (201, ["Ada L", "a b", [1], "application/json"]))
        self.assertEqual(answer.headers, {"content-type": "application/json", "x-served-by": "web"})

    def test_responses_are_json_text_bytes_or_nothing(self):
        for returned, status, media_type, body in [
            (None, 204, None, b""),
            ({"a": 1}, 200, "application/json", b'{"a":1}'),
            ("ä", 200, "text/plain; charset=utf-8", "ä".encode()),
            (Response(body=b"A", headers={"Content-Type": "x/y"}), 200, "x/y", b"A"),
        ]:
            answer = routed("GET /", lambda request: returned).request("GET /")
            self.assertEqual(
                (answer.status, answer.headers.get("content-type"), answer.body), (status, media_type, body)
            )

    def test_a_problem_is_the_response_and_discards_the_effects(self):
        for raised, status, detail, logged in [
            (Problem(409, "taken", code="already-taken"), 409, "taken", 0),
            (Retry("busy"), 503, "busy", 0),
            (Reject("bad"), 422, "bad", 0),
            (ValueError("broken"), 500, "the handler failed; see the host's log", 1),
        ]:

            def handle(request):
                state.set("a", 1)
                raise raised

            host = routed("POST /x", handle)
            answer = host.request("POST /x")
            self.assertEqual((answer.status, answer.json()["detail"], host.state), (status, detail, {}))
            self.assertEqual(answer.headers["content-type"], "application/problem+json")
            self.assertEqual(len(host.logs), logged)

    def test_a_body_that_does_not_fit_is_the_clients_problem(self):
        host = routed("POST /x", lambda request: request.json(Order).id)
        self.assertEqual(host.request("POST /x", body=b"{").status, 422)
        self.assertEqual(host.request("POST /x", json={}).status, 422)
        self.assertEqual(host.request("POST /x", body=b"x", headers={"Content-Type": "text/plain"}).status, 415)
        self.assertEqual(host.request("POST /x", json={"id": 7}).json(), 7)

    def test_a_route_can_wait_for_a_reply_to_an_event_that_it_published(self):
        host = routed(
            "POST /orders", lambda request: sandbus.reply(sandbus.publish("order.placed"), "order.priced", "2s")
        )
        self.assertEqual(host.request("POST /orders").status, 200)
        self.assertEqual(host.replies, [("event-1", "order.priced", 2_000)])


if __name__ == "__main__":
    unittest.main()
