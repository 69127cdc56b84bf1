import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { plugin } from "@sandbus/sdk";
import { FakeHost } from "@sandbus/sdk/testing";

import { findRoute, pathFault } from "../src/route.js";

const table = JSON.parse(readFileSync(new URL("../../conformance/route-paths.json", import.meta.url), "utf8"));

test("paths are accepted and refused as in the table", () => {
  for (const path of table.accepted) assert.equal(pathFault(path), null, path);
  for (const [path, words] of table.refused) {
    const fault = pathFault(path);
    assert.ok(fault?.includes(words), `${JSON.stringify(path)}: ${fault}`);
  }
  const long = (bytes) => `/${"a".repeat(bytes - 1)}`;
  assert.equal(pathFault(long(table.max_bytes)), null);
  assert.notEqual(pathFault(long(table.max_bytes + 1)), null);
  const many = (count) => Array.from({ length: count }, (_, number) => `/{p${number}}`).join("");
  assert.equal(pathFault(many(table.max_parameters)), null);
  assert.notEqual(pathFault(many(table.max_parameters + 1)), null);
});

test("requests go to routes as in the table", () => {
  for (const [routes, path, route, params] of table.matches) {
    const found = findRoute(routes, path);
    assert.equal(found?.route ?? null, route, `${routes} and ${path}`);
    if (found !== null) assert.deepEqual(Object.fromEntries(found.params), params, path);
  }
});

test("a route that the host refuses is an error where it is declared", () => {
  const declare = (route) => () => plugin({ name: "web" }).route(route, () => "");
  assert.throws(declare("GET /users/:id"), /the path of route `GET \/users\/:id` is invalid: .*`\{id\}`/);
  assert.throws(declare("GET /a b"), /%20/);
  assert.throws(declare("FETCH /a"), /unknown method; the methods are GET, POST/);
  for (const method of table.methods) assert.doesNotThrow(declare(`${method.toLowerCase()} /a`));
});

test("the fake host finds routes as the host does", () => {
  const web = plugin({ name: "web" })
    .route("GET /users/{id}", ({ params }) => ({ text: params.id }))
    .route("GET /users/{id}.json", ({ params }) => ({ text: `json ${params.id}` }))
    .route("GET /users/me", () => ({ text: "me" }));
  const host = new FakeHost(web);
  assert.equal(host.request("GET /users/7").text(), "7");
  assert.equal(host.request("GET /users/7.json?a=1").text(), "json 7");
  assert.equal(host.request("GET /users/me").text(), "me");
});
