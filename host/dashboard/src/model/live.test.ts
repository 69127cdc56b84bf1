import { expect, test } from "vitest";
import type { Message } from "../api/stream";
import { belongsTo, hasText, KEPT, LiveBuffer, samplingText } from "./live";

const attempt = (failed = false) =>
  ({
    kind: "attempt",
    event_type: "order.placed",
    event: "e1",
    source: "/s",
    subscription: "shop/Orders",
    cause: failed ? "trap" : null,
    reason: failed ? "boom" : null,
    verdict: failed ? "dead" : "handled",
    correlation: "c1",
  }) as Message;
const request = {
  kind: "request",
  method: "POST",
  path: "/x",
  plugin: "p",
  id: "r1",
  status: 200,
  cause: null,
  reason: null,
  correlations: ["c1"],
} as Message;

test("at a low rate, every message is kept, newest first", () => {
  const buffer = new LiveBuffer();
  for (let index = 0; index < KEPT + 10; index += 1) {
    buffer.add(attempt(), index * 10);
  }
  const rows = buffer.rows();
  expect(rows.length).toBe(KEPT);
  expect(rows[0]?.number).toBe(KEPT + 10);
  expect(rows.at(-1)?.number).toBe(11);
  expect(samplingText(buffer.sampling((KEPT + 10) * 10), String)).toBeNull();
});

test("at a high rate, messages are sampled, and all are counted", () => {
  const buffer = new LiveBuffer();
  const rate = 2_000;
  for (let index = 0; index < 3 * rate; index += 1) {
    buffer.add(attempt(index % 100 === 0), (index * 1_000) / rate);
  }
  buffer.add({ kind: "lost", count: 7 }, 2_999);
  expect(buffer.counts).toEqual({ attempts: 6_000, requests: 0, failures: 60, lost: 7, unknownLosses: 0 });
  const sampling = buffer.sampling(3_000);
  expect(sampling).toEqual({ rate: 2_000, successes: 8, failures: 1 });
  expect(samplingText(sampling, String)).toBe(
    "Showing 1 in 8 of 2000/s; every failure is shown. The counts include all.",
  );
  const rows = buffer.rows();
  expect(rows.filter(({ message }) => message.kind === "attempt" && message.cause !== null).length).toBe(60);
  expect(rows.filter(({ number }) => number > 4_000 && number <= 6_000).length).toBeLessThan(300);
  // A quiet second ends the sampling.
  expect(buffer.sampling(5_000)).toEqual({ rate: 0, successes: 1, failures: 1 });
});

test("lost records are a row, also if nobody knows how many", () => {
  const buffer = new LiveBuffer();
  buffer.add({ kind: "lost", count: null }, 0);
  expect(buffer.rows().length).toBe(1);
  expect(buffer.counts.unknownLosses).toBe(1);
});

test("messages are found by their tree and by text", () => {
  expect(belongsTo(attempt(), "c1")).toBe(true);
  expect(belongsTo(attempt(), "c2")).toBe(false);
  expect(belongsTo(request, "c1")).toBe(true);
  expect(belongsTo({ kind: "lost", count: 1 }, "c2")).toBe(true);
  expect(hasText(attempt(true), "ORDERS")).toBe(true);
  expect(hasText(attempt(), "boom")).toBe(false);
  expect(hasText(request, "post /x")).toBe(true);
});

test("what has come of a cause tree is kept when it is followed, and the rest stays for later", () => {
  const buffer = new LiveBuffer();
  const other = { ...attempt(), correlation: "c2" } as Message;
  [attempt(), other, request, { kind: "lost", count: 1 } as Message, attempt(true)].forEach((message, index) =>
    buffer.add(message, index),
  );
  const tree = buffer.of("c1");
  expect(tree.rows().map(({ message }) => message.kind)).toEqual(["attempt", "request", "attempt"]);
  expect(tree.counts).toMatchObject({ attempts: 2, requests: 1, failures: 1, lost: 0 });
  tree.add(attempt(), 10);
  expect(tree.rows().map(({ number }) => number)).toEqual([4, 3, 2, 1]);
  expect(buffer.rows().length).toBe(5);
});
