"""The names of the SDK: the table that all languages share, and errors for old names."""

import dataclasses
import importlib
import inspect
import json
import pathlib
import re
import unittest

import sandbus
from sandbus import Event, Plugin, PluginTarget, Retry, RetryPolicy, subscribe
from sandbus.testing import FakeHost, RouteResponse

TABLE = json.loads((pathlib.Path(__file__).parents[2] / "conformance" / "capabilities.json").read_text())["capabilities"]


def look_up(name):
    """The object with a name of the table. Raises an error if there is none."""
    path, _, parameter = name.partition("(")
    first, *rest = path.split(".")
    found = importlib.import_module("sandbus.testing") if first == "testing" else getattr(sandbus, first)
    for member in rest:
        found = member if _has_field(found, member) else getattr(found, member)
    if parameter and parameter.rstrip(")") not in inspect.signature(found).parameters:
        raise AttributeError(name)
    return found


def _has_field(found, member):
    if inspect.isclass(found) and dataclasses.is_dataclass(found):
        return any(field.name == member for field in dataclasses.fields(found))
    # Attributes that `__init__` sets.
    return inspect.isclass(found) and re.search(rf"self\.{member}\b.*=", inspect.getsource(found)) is not None


class Names(unittest.TestCase):
    def test_each_name_of_the_table_exists(self):
        self.assertGreater(len(TABLE), 50)
        for row in TABLE:
            if row["python"] is not None:
                with self.subTest(row["capability"], name=row["python"]):
                    look_up(row["python"])

    def test_each_public_name_is_in_the_table(self):
        named = {re.split(r"[.(]", row["python"])[0] for row in TABLE if row["python"]}
        self.assertEqual(set(sandbus.__all__) - named - {"client", "config", "log", "state"}, set())

    def test_an_old_name_is_an_error_that_says_the_new_one(self):
        for former, present in (
            ("attempts", "max_attempts"),
            ("first_delay", "initial_delay"),
            ("factor", "backoff_multiplier"),
            ("permanent", "non_retryable"),
        ):
            with self.assertRaisesRegex(TypeError, f"`{former}` was renamed to `{present}`"):
                RetryPolicy(**{former: 1})
            # The policy's old name was Retry, and the exception's TryAgain.
            with self.assertRaisesRegex(TypeError, rf"`{former}` was renamed to `RetryPolicy\({present}=…\)`"):
                Retry(**{former: 1})
        with self.assertRaisesRegex(ImportError, "`sandbus.TryAgain` was renamed to `sandbus.Retry`"):
            from sandbus import TryAgain  # noqa: F401
        with self.assertRaisesRegex(ImportError, "`sandbus.client.Answer` was renamed to `sandbus.client.Response`"):
            from sandbus.client import Answer  # noqa: F401
        with self.assertRaisesRegex(ImportError, "`sandbus.testing.Answer` was renamed"):
            from sandbus.testing import Answer as _  # noqa: F401
        event = Event(id="1", source="/a", type="a", subscription="a", bytes=b"x")
        with self.assertRaisesRegex(AttributeError, "`Event.data` was renamed to `Event.bytes`"):
            event.data  # noqa: B018
        with self.assertRaisesRegex(AttributeError, "`FakeHost.time` was renamed to `FakeHost.now`"):
            FakeHost(Plugin("a")).time  # noqa: B018
        with self.assertRaisesRegex(TypeError, "`data` was renamed to `bytes`"):
            Event(id="1", source="/a", type="a", subscription="a", data=b"x")

    def test_unknown_names_fail_as_in_any_module(self):
        with self.assertRaisesRegex(AttributeError, "no attribute `Nothing`"):
            sandbus.Nothing  # noqa: B018
        with self.assertRaisesRegex(ImportError, "cannot import name 'Nothing'"):
            from sandbus import Nothing  # noqa: F401
        self.assertFalse(hasattr(sandbus, "nothing"))

    def test_a_policy_of_another_type_is_refused(self):
        host = FakeHost(Plugin("a", subscribes=[">"]))
        for policy in (Retry("x"), {"max_attempts": 5}, 5):
            with self.assertRaisesRegex(TypeError, "must be a RetryPolicy"):
                Plugin("a").on("b", retry=policy)
            with self.assertRaisesRegex(TypeError, "must be a RetryPolicy"):
                host.run(lambda: subscribe("a", "a", PluginTarget("b"), retry=policy))
        with self.assertRaisesRegex(TypeError, "non_retryable must be a list of causes"):
            Plugin("a").on("b", retry=RetryPolicy(non_retryable="trap"))

    def test_the_response_of_a_route_is_typed(self):
        plugin = Plugin("a")
        plugin.route("GET /")(lambda request: {})
        self.assertIsInstance(FakeHost(plugin).request("GET /"), RouteResponse)


if __name__ == "__main__":
    unittest.main()
