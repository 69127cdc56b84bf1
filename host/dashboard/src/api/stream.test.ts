import { expect, test } from "vitest";
import { LostCounter, type Message } from "./stream";

const attempt = { kind: "attempt" } as Message;
const lost = (count: number | null): Message => ({ kind: "lost", count });

test("lost records count once, although a new connection reports them again", () => {
  const counter = new LostCounter();
  expect(counter.take(attempt)).toEqual(attempt);
  expect(counter.take(lost(5))).toEqual(lost(5));
  expect(counter.take(lost(3))).toEqual(lost(3));
  counter.connect();
  expect(counter.take(lost(8))).toBeNull();
  counter.connect();
  expect(counter.take(lost(10))).toEqual(lost(2));
  expect(counter.take(attempt)).toEqual(attempt);
  counter.connect();
  expect(counter.take(lost(4))).toEqual(lost(4));
});

test("an unknown number after a restart of the host is reported once", () => {
  const counter = new LostCounter();
  counter.take(attempt);
  counter.connect();
  expect(counter.take(lost(null))).toEqual(lost(null));
  counter.connect();
  expect(counter.take(lost(null))).toBeNull();
});
