/** The rows of a cause tree's waterfall: what `sandbus why` prints, with times. */

import type { Schemas } from "../api/client";
import { isOpen, marksOf, stateOf } from "./event_state";
import { counted, micros } from "./format";
import { utc, withTimes } from "./time";

type Tree = Schemas["CauseTreeView"];
type TreeEvent = Schemas["TreeEventView"];
type Delivery = Schemas["TreeDeliveryView"];
type Attempt = Schemas["RecordedAttemptView"];
type Request = Schemas["RecordedRequestView"];
type Delayed = Schemas["DelayedEventView"];

/** What happens in a time. */
export type SpanKind = "wait" | "run" | "failed" | "backoff" | "delay" | "stored";

/** A time from when to when, in milliseconds since 1970. */
export interface Span {
  kind: SpanKind;
  from: number;
  to: number;
}

/** What a row is about, with what its link and its figures need. */
export type Subject =
  | { kind: "request"; request: Request }
  | { kind: "event"; event: TreeEvent }
  | { kind: "delayed"; event: Delayed }
  | { kind: "delivery"; delivery: Delivery }
  | { kind: "attempt"; attempt: Attempt }
  | { kind: "omitted" };

/** A row of the waterfall. */
export interface CauseRow {
  /** The same after the tree is read again. */
  key: string;
  subject: Subject;
  title: string;
  /** The state or outcome, in a word of the API. */
  state: string | null;
  /** What is special, such as `replay`. */
  marks: string[];
  /** Durations and counts as text. */
  figures: string[];
  /** Why it failed or waits, with what to do. */
  reasons: string[];
  spans: Span[];
  children: CauseRow[];
}

/** The rows of a tree. `now` is in milliseconds since 1970. */
export function causeRows(tree: Tree, now: number): CauseRow[] {
  return new Builder(tree, now).build();
}

class Builder {
  private readonly caused = new Map<string, TreeEvent[]>();
  private readonly delayed = new Map<string, Delayed[]>();
  /** When an event was published, by its id: its publisher's attempt or request ended then. */
  private readonly publishedAt = new Map<string, number>();
  private readonly placed = new Set<string>();

  constructor(
    private readonly tree: Tree,
    private readonly now: number,
  ) {
    for (const event of tree.events) {
      push(this.caused, causeOf(event), event);
    }
    for (const event of tree.delayed) {
      push(this.delayed, event.causation ?? "", event);
    }
    const attempts = tree.events.flatMap(({ deliveries }) => deliveries.flatMap((delivery) => delivery.attempts));
    for (const { published, at } of [...attempts, ...tree.requests]) {
      published.forEach(({ id }) => this.publishedAt.set(id, Date.parse(at)));
    }
  }

  build(): CauseRow[] {
    const known = new Set(this.tree.events.map(identityOf));
    let roots = this.tree.events.filter((event) => !known.has(causeOf(event)));
    const rows: CauseRow[] = [];
    const requests = this.tree.requests.map((request) => {
      const below = roots.filter(({ correlation }) => request.correlations.includes(correlation));
      roots = roots.filter((event) => !below.includes(event));
      return this.request(request, below);
    });
    rows.push(...requests, ...roots.map((event) => this.event(event)));
    // Those that requests published, and those whose publisher is not shown.
    const rest = [...this.delayed.keys()].flatMap((causation) => this.takeDelayed(causation));
    const [first] = requests;
    (first?.children ?? rows).push(...rest);
    return rows;
  }

  private request(request: Request, events: TreeEvent[]): CauseRow {
    const end = Date.parse(request.at);
    const start = end - request.took_us / 1_000;
    const begin = start + request.queued_us / 1_000;
    return {
      key: `request ${request.id}`,
      subject: { kind: "request", request },
      title: `${request.method} ${request.path} by ${request.plugin}`,
      state: String(request.status),
      marks: [],
      // The whole time of a request includes the time in the queue.
      figures: figuresOf({ ...request, took_us: request.took_us - request.queued_us }),
      reasons: reasonOf(request),
      spans: [
        { kind: "wait", from: start, to: begin },
        { kind: request.cause === null ? "run" : "failed", from: begin, to: end },
      ],
      children: events.map((event) => this.event(event)),
    };
  }

  private event(event: TreeEvent): CauseRow {
    const identity = identityOf(event);
    this.placed.add(identity);
    const stored = Date.parse(event.stored_at);
    const published = this.publishedAt.get(event.id);
    const caused = (this.caused.get(identity) ?? []).filter((other) => !this.placed.has(identityOf(other)));
    const left = new Set(caused);
    const children = event.deliveries.map((delivery, index) =>
      this.delivery(delivery, `${identity} ${index} ${delivery.subscription}`, stored, left),
    );
    // The attempts that published these are not recorded.
    children.push(...[...left].map((other) => this.event(other)), ...this.takeDelayed(event.id));
    if (event.omitted > 0) {
      children.push(omittedRow(identity, event.omitted));
    }
    const wasDelayed = published !== undefined && stored - published >= 1_000;
    return {
      key: `event ${identity}`,
      subject: { kind: "event", event },
      title: event.event_type,
      state: null,
      marks: event.position === null ? ["deleted by retention"] : [],
      figures: event.subject === null ? [] : [`subject ${event.subject}`],
      reasons: event.deliveries.length === 0 ? ["No subscription matches it."] : [],
      spans: [
        ...(wasDelayed ? [{ kind: "delay" as const, from: published, to: stored }] : []),
        { kind: "stored", from: stored, to: stored },
      ],
      children,
    };
  }

  /** A delivery with its attempts. If it ended with its only attempt, both are one row. */
  private delivery(delivery: Delivery, key: string, stored: number, left: Set<TreeEvent>): CauseRow {
    const attempts = delivery.attempts.map((attempt, index) =>
      this.attempt(attempt, `${key} ${index}`, readyAt(delivery, index, stored), left),
    );
    const [only] = attempts;
    const outcomeIsSaid = delivery.outcome === "handled" || delivery.attempts.at(-1)?.verdict === "dead";
    if (only !== undefined && attempts.length === 1 && !isOpen(delivery) && outcomeIsSaid) {
      return { ...only, title: delivery.subscription };
    }
    const last = delivery.attempts.at(-1);
    const isWaiting = isOpen(delivery);
    const from = last === undefined ? stored : Date.parse(last.retry_at ?? last.at);
    return {
      key: `delivery ${key}`,
      subject: { kind: "delivery", delivery },
      title: delivery.subscription,
      state: stateOf(delivery),
      marks: marksOf(delivery),
      figures: attempts.length === 0 ? [] : [counted(attempts.length, "attempt")],
      reasons: this.reasonsOf(delivery),
      spans: isWaiting && this.now > from ? [{ kind: "wait", from, to: this.now }] : [],
      children: attempts,
    };
  }

  private reasonsOf(delivery: Delivery): string[] {
    const { dead_letter, outcome, waits_for, attempts } = delivery;
    const isSaid = attempts.at(-1)?.verdict === "dead";
    return [
      ...waits_for
        .map(({ detail, until }) => (until === null || detail.includes(until) ? detail : `${detail}, until ${until}`))
        .map((sentence) => withTimes(sentence, utc.value)),
      ...(dead_letter === null || isSaid ? [] : [`${dead_letter.cause}: ${dead_letter.reason}`]),
      ...(outcome === "dropped" ? ["Its dead letter was dropped; no later attempt is recorded."] : []),
      ...(outcome === "not-recorded" ? ["It was handled, or its dead letter was dropped; not recorded."] : []),
    ];
  }

  private attempt(attempt: Attempt, key: string, ready: number | null, left: Set<TreeEvent>): CauseRow {
    const end = Date.parse(attempt.at);
    const start = end - attempt.took_us / 1_000;
    const wait = Math.min(ready ?? start - attempt.queued_us / 1_000, start);
    const retry = attempt.retry_at === null ? null : Date.parse(attempt.retry_at);
    const published = new Set(attempt.published.map(({ id }) => id));
    const events = [...left].filter(({ id }) => published.has(id));
    events.forEach((event) => left.delete(event));
    return {
      key: `attempt ${key}`,
      subject: { kind: "attempt", attempt },
      title: `attempt ${attempt.attempt}`,
      state: attempt.verdict,
      marks: marksOf(attempt),
      figures: figuresOf(attempt),
      reasons: reasonOf(attempt),
      spans: [
        { kind: "wait", from: wait, to: start },
        { kind: attempt.cause === null ? "run" : "failed", from: start, to: end },
        ...(retry !== null && retry > end ? [{ kind: "backoff" as const, from: end, to: retry }] : []),
      ],
      children: events.map((event) => this.event(event)),
    };
  }

  private takeDelayed(causation: string): CauseRow[] {
    const events = this.delayed.get(causation) ?? [];
    this.delayed.delete(causation);
    return events.map((event) => {
      const due = Date.parse(event.due);
      return {
        key: `delayed ${event.source} ${event.id}`,
        subject: { kind: "delayed", event },
        title: event.event_type,
        state: "delayed",
        marks: [],
        figures: [],
        reasons: [],
        spans: [{ kind: "delay", from: Math.min(this.publishedAt.get(event.id) ?? this.now, due), to: due }],
        children: [],
      };
    });
  }
}

function omittedRow(identity: string, omitted: number): CauseRow {
  return {
    key: `omitted ${identity}`,
    subject: { kind: "omitted" },
    title: `${counted(omitted, "more event")} omitted here`,
    state: null,
    marks: [],
    figures: [],
    reasons: [],
    spans: [],
    children: [],
  };
}

/** When an attempt could have begun; null if that is unknown. */
function readyAt({ attempts, replayed }: Delivery, index: number, stored: number): number | null {
  const attempt = attempts[index];
  const previous = attempts[index - 1];
  if (attempt === undefined) {
    return null;
  }
  if (attempt.redriven_at !== null && previous?.redriven_at !== attempt.redriven_at) {
    return Date.parse(attempt.redriven_at);
  }
  if (previous !== undefined && previous.replay === attempt.replay && previous.retry_at !== null) {
    return Math.max(Date.parse(previous.at), Date.parse(previous.retry_at));
  }
  return replayed || attempt.attempt > 1 ? null : stored;
}

function figuresOf({ queued_us, took_us }: { queued_us: number; took_us: number }): string[] {
  return [`queued ${micros(queued_us)}`, `ran ${micros(took_us)}`];
}

function reasonOf({ cause, reason }: { cause: string | null; reason: string | null }): string[] {
  return cause === null ? [] : [reason === null || reason === "" ? cause : `${cause}: ${reason}`];
}

function identityOf({ source, id }: { source: string; id: string }): string {
  return JSON.stringify([source, id]);
}

function causeOf({ causation_source, causation }: TreeEvent): string {
  return causation_source === null || causation === null ? "" : JSON.stringify([causation_source, causation]);
}

function push<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const values = map.get(key);
  if (values === undefined) {
    map.set(key, [value]);
  } else {
    values.push(value);
  }
}

/** A row that is shown, and its place among the rows at its level. */
export interface PlacedRow {
  row: CauseRow;
  /** From 1. */
  level: number;
  position: number;
  siblings: number;
  parent: string | null;
}

/** The rows that are shown, from top to bottom. Children of collapsed rows are not. */
export function placeRows(rows: CauseRow[], collapsed: ReadonlySet<string>): PlacedRow[] {
  const placed: PlacedRow[] = [];
  const place = (siblings: CauseRow[], level: number, parent: string | null) => {
    siblings.forEach((row, index) => {
      placed.push({ row, level, position: index + 1, siblings: siblings.length, parent });
      if (!collapsed.has(row.key)) {
        place(row.children, level + 1, row.key);
      }
    });
  };
  place(rows, 1, null);
  return placed;
}

/** The time that rows and their children span. What lies in the future does not count, because it may be far away. */
export function rangeOf(rows: CauseRow[], now: number): { from: number; to: number } {
  let from = Infinity;
  let to = -Infinity;
  const visit = (row: CauseRow) => {
    for (const span of row.spans) {
      from = Math.min(from, span.from);
      to = Math.max(to, Math.min(span.to, Math.max(now, span.from)));
    }
    row.children.forEach(visit);
  };
  rows.forEach(visit);
  return from > to ? { from: now - 1, to: now } : { from, to: Math.max(to, from + 1) };
}

/** The row with a key. */
export function findRow(rows: CauseRow[], key: string): CauseRow | null {
  for (const row of rows) {
    const found = row.key === key ? row : findRow(row.children, key);
    if (found !== null) {
      return found;
    }
  }
  return null;
}
