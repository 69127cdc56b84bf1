import unittest

from sandbus.testing import FakeHost

from {{module}} import plugin


class Tests(unittest.TestCase):
[[on]]
    def test_an_event_is_counted(self):
        host = FakeHost(plugin)
        self.assertEqual(host.deliver("{{example}}", {"name": "Ada"}).outcome, "ack")
        self.assertEqual(host.state, {"handled": 1})

[[end]]
[[route]]
    def test_a_request_is_answered_with_the_count(self):
        host = FakeHost(plugin, state={"handled": 3})
        self.assertEqual(host.request("{{target}}").json(), {"handled": 3})

[[end]]
