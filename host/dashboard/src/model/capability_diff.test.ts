import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { capabilityDiff, isRecorded } from "./capability_diff";

type Generation = Schemas["GenerationView"];

const NOTHING = { publish: [], subscribe: [], webhooks: [], http: [], networks: [] };

function generation(asks: Partial<Generation["asks_for"]>, granted: Partial<Generation["granted"]>): Generation {
  return {
    digest: "d",
    version: "1.0.0",
    since: "2026-11-30T10:00:00Z",
    rolled_back_from: false,
    asks_for: { publish: [], subscribe: [], ...asks },
    granted: { ...NOTHING, ...granted },
  };
}

test("capabilities are added, removed and changed", () => {
  const before = generation(
    { publish: ["order.*", "mail.sent"] },
    { publish: ["order.*", "mail.sent"], http: ["a.example"] },
  );
  const after = generation(
    { publish: ["order.*", "mail.sent", "stock.*"], subscribe: ["order.*"] },
    { publish: ["order.*"], subscribe: ["order.*"], http: ["b.example"] },
  );
  const { changes, same } = capabilityDiff(before, after);
  expect(changes.map(({ kind, pattern, change }) => [kind, pattern, change])).toEqual([
    ["publish", "mail.sent", "changed"],
    ["publish", "stock.*", "added"],
    ["subscribe", "order.*", "added"],
    ["http", "a.example", "removed"],
    ["http", "b.example", "added"],
  ]);
  expect(same).toBe(1);
  expect(changes[0]?.before).toEqual({ isRequested: true, isGranted: true });
  expect(changes[0]?.after).toEqual({ isRequested: true, isGranted: false });
});

test("a generation equals itself", () => {
  const one = generation({ publish: ["a.*"] }, { publish: ["a.*"], networks: ["private"] });
  expect(capabilityDiff(one, one)).toEqual({ changes: [], same: 2 });
});

test("generations of earlier releases have no recorded capabilities", () => {
  const recorded = generation({}, {});
  expect(isRecorded(recorded)).toBe(true);
  expect(isRecorded({ ...recorded, asks_for: null, granted: null })).toBe(false);
});
