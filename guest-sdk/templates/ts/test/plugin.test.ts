import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeHost } from "@sandbus/sdk/testing";

import plugin from "../src/plugin.ts";
[[on]]

test("an event is counted", async () => {
  const host = new FakeHost(plugin);
  assert.deepEqual(await host.deliver("{{example}}", { name: "Ada" }), { outcome: "ack" });
  assert.deepEqual(host.state, { handled: 1 });
});
[[end]]
[[route]]

test("a request is answered with the count", async () => {
  const host = new FakeHost(plugin, { state: { handled: 3 } });
  const answer = await host.request("{{target}}");
  assert.deepEqual(answer.json(), { handled: 3 });
});
[[end]]
