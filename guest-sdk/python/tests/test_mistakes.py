"""Common mistakes of handlers, and their messages."""

import json
import socket
import unittest

import sandbus
from sandbus import Message, Plugin, PluginTarget, Reject, Retry, client, config, publish, publish_many, state, subscribe
from sandbus import _json
from sandbus.testing import FakeHost

MAX_DEPTH = _json.MAX_DEPTH


def arrays(count):
    return "[" * count + "]" * count


def raising(error):
    raise error


def calling(act):
    return lambda: act() and None


def noted():
    error = ValueError("x")
    if hasattr(error, "add_note"):
        error.add_note("a note")
    else:
        error.__notes__ = ["a note"]
    raise error


#: Handlers with a mistake, and a part of the failure's reason.
MISTAKES = {
    "an empty key": (lambda: state.set("", 1), "a key of the state must not be empty"),
    "an empty sequence": (lambda: state.sequence(""), "the name of a sequence must not be empty"),
    "an empty setting": (lambda: config.get(""), "must not be empty"),
    "an empty id": (lambda: sandbus.cancel(""), "the id of an event must not be empty"),
    "an empty target": (lambda: subscribe("a", "a", PluginTarget("")), "must not be empty"),
    "a target that is a text": (lambda: subscribe("a", "a", "b"), "must be a PluginTarget or a Webhook"),
    "a time that is a text": (lambda: publish("thing", at="2030-01-01"), "a time must be a datetime"),
    "an event that is a dict": (lambda: publish_many([{"type": "thing"}]), "a list of Message"),
    "one event as several": (lambda: publish_many(Message("thing")), "a list of Message"),
    "two bodies": (lambda: client.post("https://a.example", json={}, text="a"), "choose one of"),
    "no reason to retry": (lambda: raising(Retry), "the handler gave no reason"),
    "no reason to reject": (lambda: raising(Reject()), "the handler gave no reason"),
    "a note": (noted, "x\n    a note"),
    "a thread": (lambda: raising(RuntimeError("can't start new thread")), "a component has one thread"),
    "a socket": (lambda: raising(socket.gaierror(-4, "error")), "send requests with sandbus.client"),
    "recursion": (lambda: raising(RecursionError("maximum recursion depth exceeded")), "calls itself"),
    "deep JSON": (lambda: (state.set_bytes("a", arrays(MAX_DEPTH + 1).encode()), state.get("a")), "more than 1000 levels"),
}


class Mistakes(unittest.TestCase):
    def test_the_reason_names_the_mistake(self):
        for name, (act, reason) in MISTAKES.items():
            with self.subTest(name):
                plugin = Plugin("things", publishes=[">"], subscribes=[">"])
                plugin.on("thing", name="thing")(calling(act))
                self.assertIn(reason, FakeHost(plugin).deliver("thing").reason)


class Depth(unittest.TestCase):
    def test_text_is_too_deep_beyond_the_limit(self):
        for text, expected in (
            (arrays(MAX_DEPTH), False),
            (arrays(MAX_DEPTH + 1), True),
            ("[" * (MAX_DEPTH + 1), True),
            ('{"a":' * (MAX_DEPTH + 1), True),
            ("[" + "[]," * 5 * MAX_DEPTH + "[]]", False),
            (json.dumps("[" * 5 * MAX_DEPTH), False),
            ('["\\"' + "[{" * 5 * MAX_DEPTH + '\\\\"]', False),
            ('["\\"]",' + arrays(MAX_DEPTH) + "]", True),
            ("", False),
        ):
            with self.subTest(text[:20], length=len(text)):
                self.assertEqual(_json.is_too_deep(text), expected)
                self.assertEqual(_json.is_too_deep(text.encode()), expected)


if __name__ == "__main__":
    unittest.main()
