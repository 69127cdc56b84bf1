import assert from "node:assert/strict";
import { test } from "node:test";

import * as client from "@sandbus/sdk/client";
import { plugin } from "@sandbus/sdk";
import { FakeHost } from "@sandbus/sdk/testing";

/** The headers that a route sends. */
function sent(headers) {
  const host = new FakeHost(plugin({ name: "web" }).route("GET /", () => ({ headers })));
  return host.request("GET /");
}

test("a list of values becomes one header each", () => {
  for (const headers of [
    { "Set-Cookie": ["a=1", "b=2"] },
    [["set-cookie", "a=1"], ["Set-Cookie", "b=2"]],
    new Headers([["set-cookie", "a=1"], ["set-cookie", "b=2"]]),
  ]) {
    assert.deepEqual(sent(headers).headerValues("Set-Cookie"), ["a=1", "b=2"]);
  }
  const answer = sent({ age: 5, vary: [], "x-none": undefined, "x-null": null });
  assert.deepEqual(answer.headers, { age: "5" });
});

test("a header with a line break is refused", () => {
  for (const value of ["a\r\nset-cookie: b=1", "a\nb", "a\0b"]) assert.equal(sent({ "x-a": value }).status, 500);
});

test("repeated headers of a request can be read separately and joined", () => {
  const self = plugin({ name: "web" }).route("GET /", (request) => ({
    json: [request.headerValues("X-Tag"), request.header("x-tag"), request.header("cookie"), request.headerValues("none")],
  }));
  const host = new FakeHost(self);
  const answer = host.request("GET /", { headers: { "X-Tag": ["a", "b, c"], cookie: ["a=1", "b=2"] } });
  assert.deepEqual(answer.json(), [["a", "b, c"], "a, b, c", "a=1; b=2", []]);
});

test("a client sends and receives repeated headers", () => {
  const self = plugin({ name: "web" }).route("GET /", () => {
    const answer = client.get("https://a.example/", { headers: { accept: ["a/b", "c/d"] } });
    return { json: answer.headerValues("Set-Cookie") };
  });
  const host = new FakeHost(self).answers("GET *", { headers: { "Set-Cookie": ["a=1", "b=2"] } });
  assert.deepEqual(host.request("GET /").json(), ["a=1", "b=2"]);
  assert.deepEqual(host.sent[0].headers, { accept: "a/b, c/d" });
});
