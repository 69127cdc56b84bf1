/** How the capabilities of a plugin differ between two of its generations. */

import type { Schemas } from "../api/client";
import type { CapabilityKind } from "./plugin_texts";

type Generation = Schemas["GenerationView"];

/** Whether a generation requests a capability, and whether it is granted. */
export interface Holding {
  isRequested: boolean;
  isGranted: boolean;
}

/** A capability that one of two generations has and the other one has not, or has differently. */
export interface CapabilityChange {
  kind: CapabilityKind;
  pattern: string;
  change: "added" | "removed" | "changed";
  before: Holding;
  after: Holding;
}

/** The differences between two generations, and how many capabilities are the same in both. */
export interface CapabilityDiff {
  changes: CapabilityChange[];
  same: number;
}

const KINDS: CapabilityKind[] = ["publish", "subscribe", "http", "networks", "webhooks"];

/** Whether the host has recorded the capabilities of a generation. Earlier releases did not. */
export function isRecorded({ asks_for, granted }: Generation): boolean {
  return asks_for !== null && granted !== null;
}

/** Compares the recorded capabilities of two generations. */
export function capabilityDiff(before: Generation, after: Generation): CapabilityDiff {
  const [earlier, later] = [holdingsOf(before), holdingsOf(after)];
  const keys = [...new Set([...earlier.keys(), ...later.keys()])];
  const all = keys.map((key) => {
    const [kind = "", ...pattern] = key.split(" ");
    const [old, current] = [earlier.get(key) ?? NONE, later.get(key) ?? NONE];
    const change = !earlier.has(key) ? "added" : !later.has(key) ? "removed" : "changed";
    return { kind: kind as CapabilityKind, pattern: pattern.join(" "), change, before: old, after: current } as const;
  });
  const changes = all.filter(
    ({ before: old, after: current }) =>
      old.isRequested !== current.isRequested || old.isGranted !== current.isGranted,
  );
  changes.sort((one, other) => KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind) || compare(one.pattern, other.pattern));
  return { changes, same: all.length - changes.length };
}

const NONE: Holding = { isRequested: false, isGranted: false };

/** What a generation requests or is granted, by kind and pattern. */
function holdingsOf({ asks_for, granted }: Generation): Map<string, Holding> {
  const holdings = new Map<string, Holding>();
  const note = (kind: CapabilityKind, patterns: string[] | undefined, fields: Partial<Holding>) => {
    for (const pattern of patterns ?? []) {
      const key = `${kind} ${pattern}`;
      holdings.set(key, { ...(holdings.get(key) ?? NONE), ...fields });
    }
  };
  for (const kind of ["publish", "subscribe"] as const) {
    note(kind, asks_for?.[kind], { isRequested: true });
  }
  for (const kind of KINDS) {
    note(kind, granted?.[kind], { isGranted: true });
  }
  return holdings;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
