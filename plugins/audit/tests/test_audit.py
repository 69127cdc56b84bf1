import unittest

from sandbus.testing import FakeHost

from audit import plugin


class Tests(unittest.TestCase):
    def test_what_happened_is_told_in_order(self):
        host = FakeHost(plugin)
        for second, type in [(2, "user.welcomed"), (1, "user.registered")]:
            event = {"id": str(second), "time": f"2030-01-01T00:00:0{second}Z"}
            host.deliver(type, {"user_id": "1"}, extensions={"correlationid": "1"}, **event)
        answer = host.request("GET /audit/1").json()
        self.assertEqual([entry["type"] for entry in answer["trail"]], ["user.registered", "user.welcomed"])
        self.assertEqual(answer["trail"][1]["flow"], "1")
        self.assertEqual(host.request("GET /audit").json(), {"user.registered": 1, "user.welcomed": 1})

    def test_a_user_of_whom_nothing_is_known_is_not_found(self):
        self.assertEqual(FakeHost(plugin).request("GET /audit/1").status, 404)


if __name__ == "__main__":
    unittest.main()
