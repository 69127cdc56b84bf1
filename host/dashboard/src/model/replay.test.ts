import { expect, test } from "vitest";
import { EMPTY_REPLAY, replayEffect, replayRequestOf } from "./replay";

test("the form becomes a request", () => {
  expect(replayRequestOf(EMPTY_REPLAY)).toEqual({ request: { start: "beginning" } });
  expect(
    replayRequestOf({
      ...EMPTY_REPLAY,
      from: "position",
      fromPosition: "17",
      until: "time",
      untilTime: "2026-01-01T00:00Z",
      perSecond: " 50 ",
      type: "order.*",
    }),
  ).toEqual({
    request: {
      start: { position: 17 },
      until: { time: "2026-01-01T00:00:00.000Z" },
      per_second: 50,
      only: { type: "order.*" },
    },
  });
});

test("faults are named", () => {
  expect(replayRequestOf({ ...EMPTY_REPLAY, from: "position" })).toEqual({
    fault: "The position of the start is not a whole number from 1.",
  });
  expect(replayRequestOf({ ...EMPTY_REPLAY, until: "time" })).toEqual({ fault: "The time of the end is missing." });
  expect(replayRequestOf({ ...EMPTY_REPLAY, perSecond: "0.5" })).toEqual({
    fault: "The rate is not a whole number from 1.",
  });
});

test("the effect has the largest number of events that is possible", () => {
  expect(replayEffect("a/b", { start: { position: 11 }, until: { position: 5_000 } }, 1_214)).toBe(
    "Delivers events from position 11 up to position 1,214 to a/b again, at most 1,204. Handlers run again, with all their effects.",
  );
  expect(replayEffect("a/b", { start: "beginning", only: { type: "x" } as never, per_second: 2 }, 3)).toContain(
    "matching events from the beginning of the log up to position 3 to a/b again, at most 3. Handlers run again, with all their effects. It makes at most 2 deliveries per second.",
  );
});
