import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { documentOf, draftAttributes, draftLike, EMPTY_DRAFT, faultsOf, queryOf } from "./draft";

const draft = { ...EMPTY_DRAFT, type: "order.placed" };

test("faults name the field and what to write", () => {
  const cases: [object, string[]][] = [
    [{}, []],
    [{ type: "" }, ["type"]],
    [{ type: "sandbus.x" }, ["type"]],
    [{ type: "a\u0000" }, ["type"]],
    [{ source: "" }, ["source"]],
    [{ data: "{" }, ["data"]],
    [{ data: "" }, []],
    [{ data: "{", contentType: "text/plain" }, []],
    [{ data: "{", contentType: "application/vnd.a+json; charset=utf-8" }, ["data"]],
    [{ attributes: "tenant=eu\n\nTenant=x" }, ["attributes"]],
    [{ when: "delay" }, ["delay"]],
    [{ when: "at" }, ["at"]],
  ];
  for (const [fields, expected] of cases) {
    expect(Object.keys(faultsOf({ ...draft, ...fields })), JSON.stringify(fields)).toEqual(expected);
  }
});

test("the event has the fields, and no others", () => {
  expect(documentOf({ ...draft, data: "[1]", attributes: "tenant=a=b" }, "new")).toEqual({
    specversion: "1.0",
    id: "new",
    source: "/dashboard",
    type: "order.placed",
    datacontenttype: "application/json",
    tenant: "a=b",
    data: [1],
  });
  expect(documentOf({ ...draft, data: "", id: "7" }, "new")).not.toHaveProperty("data");
  expect(documentOf({ ...draft, contentType: "text/plain", data: "{" }, "new").data).toBe("{");
  expect(queryOf({ ...draft, when: "delay", delay: " 5m ", at: "x" })).toEqual({ delay: "5m" });
  expect(draftAttributes(draft)).toMatchObject({ id: null, time: null, source: "/dashboard" });
});

test("a template gives the same event again, without what the host sets", () => {
  const event = {
    ...documentOf({ ...draft, data: '{"a":1}', subject: "s", attributes: "tenant=eu" }, "old"),
    hops: "1",
    correlationid: "c",
    time: "2030-01-01T00:00:00Z",
  } as Schemas["EventDocument"];
  expect(documentOf(draftLike(event), "new")).toEqual({
    ...documentOf({ ...draft, data: '{"a":1}', subject: "s", attributes: "tenant=eu" }, "new"),
  });
  expect(draftLike({ ...event, source: "/plugins/a" }).source).toBe("/dashboard");
});
