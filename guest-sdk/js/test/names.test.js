// The names of the SDK: the table that all languages share, and errors for old names.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as sdk from "@sandbus/sdk";
import * as client from "@sandbus/sdk/client";
import * as testing from "@sandbus/sdk/testing";

import * as bus from "../src/bus.js";
import { Event } from "../src/event.js";
import { Request } from "../src/http.js";
import { PLUGIN, SCHEDULE, SUBSCRIPTION } from "../src/plugin.js";
import { RETRY_POLICY, SHARED } from "../src/rules.js";

const { capabilities } = JSON.parse(
  readFileSync(new URL("../../conformance/capabilities.json", import.meta.url), "utf8"),
);

const declarations = Object.fromEntries(
  ["index", "client", "testing"].map((name) => [
    name,
    readFileSync(new URL(`../src/${name}.d.ts`, import.meta.url), "utf8"),
  ]),
);

/** Option types, each with the list of its known names. The declarations must have the same names. */
const OPTIONS = {
  PluginOptions: PLUGIN,
  SubscriptionOptions: SUBSCRIPTION,
  ScheduleOptions: SCHEDULE,
  RetryPolicy: RETRY_POLICY,
  MessageOptions: bus.MESSAGE,
  RuntimeSubscription: ["name", "pattern", "to", ...SHARED],
  "client.RequestOptions": client.OPTIONS,
};

/** Types of objects that the SDK creates, each with an object that has all members. */
const host = new testing.FakeHost(
  sdk.plugin({ name: "a", publishes: ["b"] }).route("GET /", () => {
    sdk.publish("b");
    return client.get("https://a.example/").success().json();
  }),
).answers("*", { json: {} });
const response = host.request("GET /");
const event = { id: "1", source: "/a", type: "b", subject: "c", time: "d", datacontenttype: "e/f", dataschema: "g" };
const INSTANCES = {
  Event: new Event({ event: { ...event, extensions: [], data: new Uint8Array() }, subscription: "h", attempt: 1, replay: true }),
  Request: new Request({ method: "GET", route: "/", path: "/", params: [], query: null, headers: [], body: new Uint8Array() }),
  "client.Response": new client.Response({ status: 200, headers: [], body: new Uint8Array() }),
  "testing.Published": host.published[0],
  "testing.RouteResponse": response,
};

/** The value with a name of the table; undefined if there is none. */
function lookUp(name) {
  const [first, ...rest] = name.split(".");
  const module = { client, testing }[first];
  const [owner, member] = module === undefined ? [first, rest[0]] : [`${first}.${rest[0]}`, rest[1]];
  if (member !== undefined && owner in OPTIONS) return OPTIONS[owner].includes(member) ? member : undefined;
  if (member !== undefined && owner in INSTANCES) return member in INSTANCES[owner] ? member : undefined;
  const found = module === undefined ? sdk[owner] : module[rest[0]];
  if (member === undefined || found === undefined) return found;
  return found[member] ?? (member in (found.prototype ?? {}) ? member : undefined);
}

/** Whether the declarations have a name of the table. */
function isDeclared(name) {
  const [first, ...rest] = name.split(".");
  const [text, owner, member] = ["client", "testing"].includes(first)
    ? [declarations[first], ...rest]
    : [declarations.index, first, ...rest];
  const head = new RegExp(`(?:interface|class|const|function|type) ${owner}\\b`);
  const start = text.search(head);
  if (member === undefined) return start >= 0 || new RegExp(`export \\{[^}]*\\bas ${owner}\\b`).test(text);
  // Some interfaces extend another one.
  const parent = /extends (\w+)/.exec(text.slice(start, text.indexOf("{", start)))?.[1];
  const body = text.slice(start, text.indexOf("\n}", start));
  const inBody = new RegExp(`^ *(?:readonly |get )?${member}[?(:<]|Record<[^>]*"${member}"`, "m").test(body);
  return start >= 0 && (inBody || (parent !== undefined && parent !== "Error" && isDeclared(`${parent}.${member}`)));
}

test("each name of the table exists in the module and in its declarations", () => {
  assert.ok(capabilities.length > 50, String(capabilities.length));
  for (const { capability, javascript } of capabilities) {
    if (javascript === null) continue;
    assert.notEqual(lookUp(javascript), undefined, `${capability}: the module has no \`${javascript}\``);
    assert.ok(isDeclared(javascript), `${capability}: the declarations have no \`${javascript}\``);
  }
});

test("each export of the SDK is in the table", () => {
  const named = new Set(capabilities.flatMap(({ javascript }) => (javascript === null ? [] : [javascript])));
  const isNamed = (name) => [...named].some((each) => each === name || each.startsWith(`${name}.`));
  for (const [prefix, module] of [["", sdk], ["client.", client], ["testing.", testing]]) {
    for (const name of Object.keys(module)) {
      // Lists of options, which the build leaves out.
      if (name === name.toUpperCase()) continue;
      assert.ok(isNamed(`${prefix}${name}`), `the table lacks \`${prefix}${name}\``);
    }
  }
});

test("an old name is an error that says the new one", () => {
  const shop = () => sdk.plugin({ name: "shop" });
  const nothing = () => {};
  for (const [former, present] of [
    ["attempts", "maxAttempts"],
    ["firstDelay", "initialDelay"],
    ["factor", "backoffMultiplier"],
    ["permanent", "nonRetryable"],
  ]) {
    const expected = new RegExp(`\`${former}\` was renamed to \`${present}\``);
    assert.throws(() => shop().on("a", { retry: { [former]: 1 } }, nothing), expected);
    assert.throws(() => shop().schedule("* * * * *", { name: "a", retry: { [former]: 1 } }, nothing), expected);
    const subscription = { name: "a", pattern: "a", to: { plugin: "b" }, retry: { [former]: 1 } };
    assert.throws(() => new testing.FakeHost(shop()).run(() => sdk.subscribe(subscription)), expected);
  }
  assert.throws(
    () => shop().schedule("daily", "0 9 * * *", nothing),
    /schedule\("0 9 \* \* \* ?", \{ name: "daily" \}, handler\)/,
  );
});

test("a schedule has the name of its option, or of its function", () => {
  const named = (plugin) => plugin.describe().schedules.map(({ name }) => name);
  assert.deepEqual(named(sdk.plugin({ name: "a" }).schedule("* * * * *", { name: "tick" }, () => {})), ["tick"]);
  assert.deepEqual(named(sdk.plugin({ name: "a" }).schedule("* * * * *", function daily() {})), ["daily"]);
  assert.throws(() => sdk.plugin({ name: "a" }).schedule("* * * * *", () => {}), /give it a name/);
});

test("options that are not an object are refused", () => {
  for (const options of [5, "5", null, []]) {
    assert.throws(() => sdk.plugin({ name: "a" }).on("a", { retry: options }, () => {}), /must be an object/);
    assert.throws(() => sdk.plugin({ name: "a" }).on("a", options, () => {}), /must be an object/);
  }
});
