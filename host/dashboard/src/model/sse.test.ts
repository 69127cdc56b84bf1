import { expect, test } from "vitest";
import { SentEventReader } from "./sse";

const STREAM = ': hello\n\nevent: attempt\nretry: 1000\ndata: {"a":1}\nid: ab-1\n\nevent:lost\ndata:{}\n\ndata: x\ndata: y\n\nid: ab-2\n\n';
const EVENTS = [
  { kind: "attempt", data: '{"a":1}' },
  { kind: "lost", data: "{}" },
  { kind: "message", data: "x\ny" },
];

test("events are the same in pieces of any size and with any line end", () => {
  for (const end of ["\n", "\r\n"]) {
    const stream = STREAM.replaceAll("\n", end);
    for (const size of [1, 2, 3, 7, 1_000]) {
      const reader = new SentEventReader();
      const events = [];
      for (let at = 0; at < stream.length; at += size) {
        events.push(...reader.read(stream.slice(at, at + size)));
      }
      expect(events).toEqual(EVENTS);
      expect(reader.lastId).toBe("ab-2");
    }
  }
});

test("an event that is cut off does not count", () => {
  const reader = new SentEventReader("ab-0");
  expect(reader.read("event: attempt\nid: ab-1\ndata: 1\n")).toEqual([]);
  expect(reader.lastId).toBe("ab-0");
});
