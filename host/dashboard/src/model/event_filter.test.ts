import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { passes, receiversOf } from "./event_filter";

const event = { type: "order.placed", source: "/shop/eu", subject: "order-7", region: "eu", id: "1", time: null };

test("filters pass as on the host", () => {
  const cases: [unknown, boolean | null][] = [
    [{ exact: { type: "order.placed", region: "eu" } }, true],
    [{ exact: { type: "order.placed", region: "us" } }, false],
    [{ prefix: { source: "/shop/" } }, true],
    [{ suffix: { subject: "-8" } }, false],
    [{ any: [{ exact: { subject: "x" } }, { not: { exact: { region: "us" } } }] }, true],
    [{ all: [{ exact: { region: "eu" } }, { exact: { subject: "x" } }] }, false],
    [{ prefix: { dataschema: "a" } }, false],
    [{ not: { prefix: { dataschema: "a" } } }, true],
    [{ prefix: { time: "2030" } }, null],
    [{ all: [{ prefix: { time: "2030" } }, { exact: { region: "us" } }] }, false],
    [{ any: [{ prefix: { time: "2030" } }, { exact: { region: "eu" } }] }, true],
    [{ not: { prefix: { time: "2030" } } }, null],
    [{ later: { a: "b" } }, null],
  ];
  for (const [filter, expected] of cases) {
    expect(passes(filter as Schemas["Filter"], event), JSON.stringify(filter)).toBe(expected);
  }
});

test("receivers match by pattern and filters, and replays are not receivers", () => {
  const subscription = (id: string, pattern: string, filters: unknown[] = [], replay: unknown = null) =>
    ({ id, pattern, filters, replay }) as Schemas["SubscriptionView"];
  const all = [
    subscription("a/1", "order.*"),
    subscription("a/2", "order.>", [{ exact: { region: "us" } }]),
    subscription("a/3", ">", [{ prefix: { time: "2" } }]),
    subscription("a/1", "order.*", [], { number: 1 }),
    subscription("a/4", "user.*"),
  ];
  const { certain, possible } = receiversOf(all, event);
  expect(certain.map(({ id }) => id)).toEqual(["a/1"]);
  expect(possible.map(({ id }) => id)).toEqual(["a/3"]);
});
