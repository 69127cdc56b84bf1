import json
import pathlib
import unittest

from sandbus import Plugin
from sandbus._route import METHODS, find_route, path_fault
from sandbus.testing import FakeHost

TABLE = json.loads((pathlib.Path(__file__).parents[2] / "conformance" / "route-paths.json").read_text())


class Routes(unittest.TestCase):
    def test_paths_are_accepted_and_refused_as_in_the_table(self):
        for path in TABLE["accepted"]:
            self.assertIsNone(path_fault(path), path)
        for path, words in TABLE["refused"]:
            with self.subTest(path):
                self.assertIn(words, path_fault(path) or "")
        self.assertEqual(TABLE["methods"], list(METHODS))

    def test_a_path_has_a_limited_length_and_number_of_parameters(self):
        most = TABLE["max_bytes"]
        self.assertIsNone(path_fault("/" + "a" * (most - 1)))
        self.assertIn("longer", path_fault("/" + "a" * most))
        many = lambda count: "".join(f"/{{p{number}}}" for number in range(count))  # noqa: E731
        self.assertIsNone(path_fault(many(TABLE["max_parameters"])))
        self.assertIn("at most 16", path_fault(many(TABLE["max_parameters"] + 1)))

    def test_requests_go_to_routes_as_in_the_table(self):
        for routes, path, route, params in TABLE["matches"]:
            with self.subTest(routes=routes, path=path):
                self.assertEqual(find_route(routes, path), None if route is None else (route, params))

    def test_a_route_that_the_host_refuses_is_an_error_where_it_is_declared(self):
        plugin = Plugin("web")
        for route, words in [
            ("GET /users/:id", "the path of route `GET /users/:id` is invalid: it has the segment `:id`; .*`{id}`"),
            ("GET /a b", "%20"),
            ("FETCH /a", "unknown method; the methods are GET, POST"),
        ]:
            with self.subTest(route), self.assertRaisesRegex(ValueError, words):
                plugin.route(route)

    def test_the_fake_host_finds_routes_as_the_host_does(self):
        plugin = Plugin("web")
        plugin.route("GET /users/{id}")(lambda request: request.params["id"])
        plugin.route("GET /users/{id}.json")(lambda request: "json " + request.params["id"])
        plugin.route("GET /users/me")(lambda request: "me")
        host = FakeHost(plugin)
        for path, body in [("/users/7", b"7"), ("/users/7.json?a=1", b"json 7"), ("/users/me", b"me")]:
            self.assertEqual(host.request(f"GET {path}").body, body)


if __name__ == "__main__":
    unittest.main()
