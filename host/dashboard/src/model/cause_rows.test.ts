import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { causeRows, findRow, placeRows, rangeOf, type CauseRow } from "./cause_rows";
import { isTreeOpen, remarksOf } from "./event_state";
import { timeText } from "./time";

type Event = Schemas["TreeEventView"];
type Attempt = Schemas["RecordedAttemptView"];

const at = (millis: number) => new Date(Date.UTC(2030, 0, 1) + millis).toISOString();
const T = Date.UTC(2030, 0, 1);

const attempt = (members: Partial<Attempt>) =>
  ({
    attempt: 1,
    verdict: "handled",
    at: at(10),
    cause: null,
    reason: null,
    retry_at: null,
    queued_us: 1_000,
    took_us: 4_000,
    published: [],
    replay: null,
    replayed: false,
    redriven_at: null,
    edited: false,
    ...members,
  }) as unknown as Attempt;

const delivery = (subscription: string, attempts: Attempt[], members: object = { outcome: "handled" }) =>
  ({
    subscription,
    attempts,
    state: null,
    outcome: null,
    waits_for: [],
    dead_letter: null,
    replayed: false,
    redriven_at: null,
    edited: false,
    ...members,
  }) as unknown as Schemas["TreeDeliveryView"];

const event = (id: string, causation: string | null, stored: number, deliveries: Event["deliveries"]): Event => ({
  id,
  source: "/s",
  event_type: `type.${id}`,
  causation,
  causation_source: causation === null ? null : "/s",
  correlation: "a",
  stored_at: at(stored),
  subject: null,
  position: 1,
  omitted: 0,
  deliveries,
});

const published = (id: string, due: string | null = null) => ({ id, event_type: `type.${id}`, due });

const tree = (members: Partial<Schemas["CauseTreeView"]>): Schemas["CauseTreeView"] => ({
  correlations: ["a"],
  requests: [],
  events: [],
  delayed: [],
  gaps: [],
  ledger_error: null,
  attempts_omitted: false,
  omitted: 0,
  partly_read: false,
  ...members,
});

/** The titles, indented. */
function outline(rows: CauseRow[]): string[] {
  return placeRows(rows, new Set()).map(({ row, level }) => `${"  ".repeat(level - 1)}${row.title} ${row.state ?? ""}`.trimEnd());
}

test("events follow the attempts and requests that published them, as `why` prints them", () => {
  const request = {
    id: "r",
    method: "POST",
    path: "/orders",
    plugin: "shop",
    status: 202,
    at: at(5),
    took_us: 5_000,
    queued_us: 1_000,
    cause: null,
    reason: null,
    correlations: ["a"],
    published: [published("a")],
  } as unknown as Schemas["RecordedRequestView"];
  const rows = causeRows(
    tree({
      requests: [request],
      events: [
        event("a", null, 5, [
          delivery("stock/reserve", [attempt({ published: [published("b"), published("d", at(60_000))] })]),
          delivery("mail/send", [
            attempt({ verdict: "retried", cause: "retry", reason: "no server", at: at(20), retry_at: at(50) }),
            attempt({ attempt: 2, at: at(60) }),
          ]),
        ]),
        event("b", "a", 10, []),
        event("c", "a", 11, []),
      ],
      delayed: [{ id: "d", source: "/s", event_type: "type.d", causation: "a", due: at(60_000) }],
    }),
    T + 1_000,
  );
  expect(outline(rows)).toEqual([
    "POST /orders by shop 202",
    "  type.a",
    "    stock/reserve handled",
    "      type.b",
    "    mail/send handled",
    "      attempt 1 retried",
    "      attempt 2 handled",
    "    type.c",
    "    type.d delayed",
  ]);
  const second = findRow(rows, rows[0]?.children[0]?.children[1]?.children[1]?.key ?? "");
  expect(second?.spans).toEqual([
    { kind: "wait", from: T + 50, to: T + 56 },
    { kind: "run", from: T + 56, to: T + 60 },
  ]);
  expect(rows[0]?.figures).toEqual(["queued 1 ms", "ran 4 ms"]);
  const first = rows[0]?.children[0]?.children[1]?.children[0];
  expect(first?.spans.at(-1)).toEqual({ kind: "backoff", from: T + 20, to: T + 50 });
  expect(first?.reasons).toEqual(["retry: no server"]);
  expect(first?.figures).toEqual(["queued 1 ms", "ran 4 ms"]);
  // The delayed event enters the log in the future, which is not on the axis.
  expect(rangeOf(rows, T + 1_000)).toEqual({ from: T, to: T + 1_000 });
});

test("a pending delivery waits until now, and says why", () => {
  const waiting = delivery("a/b", [], { state: "parked", waits_for: [{ code: "x", detail: "It waits", until: at(9) }] });
  const open = tree({ events: [event("a", null, 0, [waiting])] });
  const row = causeRows(open, T + 500)[0]?.children[0];
  expect(row).toMatchObject({ state: "parked", reasons: [`It waits, until ${timeText(at(9), false)}`] });
  expect(row?.spans).toEqual([{ kind: "wait", from: T, to: T + 500 }]);
  expect(isTreeOpen(open)).toBe(true);
  expect(isTreeOpen(tree({ events: [event("a", null, 0, [delivery("a/b", [])])] }))).toBe(false);
});

test("collapsed rows hide their children, and events of an unknown cause are roots", () => {
  const rows = causeRows(tree({ events: [event("a", "gone", 0, [delivery("x/y", [attempt({})])])] }), T);
  expect(outline(rows)).toEqual(["type.a", "  x/y handled"]);
  expect(placeRows(rows, new Set([rows[0]?.key ?? ""])).length).toBe(1);
});

test("what is missing is said in words", () => {
  const missing = tree({
    omitted: 3,
    partly_read: true,
    attempts_omitted: true,
    gaps: [{ from: "x", until: "y", lost: null, reason: "stopped" }],
    ledger_error: "it is locked",
  });
  expect(remarksOf(missing, (time) => time)).toEqual([
    "0 of 3 or more events are shown.",
    "The oldest attempts are omitted.",
    "The ledger may lack records from x to y: stopped",
    "The ledger: it is locked",
  ]);
});
