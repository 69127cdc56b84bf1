import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeHost } from "@sandbus/sdk/testing";

import verification from "../src/plugin.ts";

function welcomed() {
  const host = new FakeHost(verification);
  assert.deepEqual(host.deliver("user.welcomed", { user_id: "1" }), { outcome: "ack" });
  const code = host.published.find(({ type }) => type === "verification.requested")?.data.code;
  return { host, code };
}

test("a user with the code is verified once, and the code expires no more", () => {
  const { host, code } = welcomed();
  assert.equal(host.request("POST /verify/1", { json: { code } }).status, 200);
  assert.deepEqual(
    host.published.map(({ type }) => type),
    ["verification.requested", "user.verified"],
  );
  assert.equal(host.request("POST /verify/1", { json: { code } }).status, 404);
});

test("another code changes nothing", () => {
  const { host } = welcomed();
  const answer = host.request("POST /verify/1", { json: { code: "wrong" } });
  assert.deepEqual([answer.status, answer.json().code], [422, "wrong-code"]);
  assert.ok(host.state["pending/1"]);
});

test("a code that nobody used expires", () => {
  const { host, code } = welcomed();
  const { data, due } = host.published.find(({ type }) => type === "verification.expired")!;
  assert.equal(due.getTime() - host.now.getTime(), 3_600_000);
  host.deliver("verification.expired", data);
  assert.equal(host.request("POST /verify/1", { json: { code } }).status, 404);
  assert.deepEqual(host.state, { expired: 1 });
});
