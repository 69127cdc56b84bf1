/** The last redrive of this browser, and what has become of it. */

import { signal } from "@preact/signals";
import { call, type Schemas } from "../api/client";

/** A redrive that this browser has asked for. */
export interface Redrive {
  /** The times around it, by the host's clock. */
  from: string;
  until: string;
  /** How many dead letters became deliveries again. */
  redriven: number;
  subscriptions: string[];
}

/** What has become of redriven deliveries, as far as the ledger has recorded it. */
export interface RedriveOutcome {
  handled: number;
  /** Dead letters again. */
  dead: number;
  /** Failed since, and waiting for another attempt. */
  retrying: number;
  /** Without a recorded attempt. */
  pending: number;
  /** Whether not all attempts were read, so that the figures may be too low. */
  isPartial: boolean;
}

type Attempt = Pick<
  Schemas["RecordedAttemptView"],
  "subscription" | "position" | "replayed" | "redriven_at" | "verdict"
>;

const STORED = "sandbus.redrive";
/** The most pages of attempts that are read for one subscription. */
const PAGES = 10;
/** The most subscriptions whose attempts are read. */
const SUBSCRIPTIONS = 20;

/** The last redrive of this browser. */
export const lastRedrive = signal<Redrive | null>(stored());

function stored(): Redrive | null {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? "null") as Redrive | null;
  } catch {
    return null;
  }
}

/** Keeps a redrive as the last one until the tab is closed, or forgets it. */
export function keepRedrive(redrive: Redrive | null): void {
  lastRedrive.value = redrive;
  sessionStorage.setItem(STORED, JSON.stringify(redrive));
}

/** Makes a redrive and keeps it as the last one. */
export async function recorded(subscriptions: string[], run: () => Promise<number>): Promise<number> {
  const from = await hostTime();
  const redriven = await run();
  keepRedrive({ from, until: await hostTime(), redriven, subscriptions });
  return redriven;
}

/** The host's time. That of the browser if the reader may not see the host's. */
async function hostTime(): Promise<string> {
  try {
    return (await call("get", "/v1/statistics")).at;
  } catch {
    return new Date().toISOString();
  }
}

/** What has become of a redrive, by attempts in the order in which the API lists them: newest first. */
export function outcomeOf({ from, until, redriven }: Redrive, attempts: Attempt[], isPartial: boolean): RedriveOutcome {
  const [begin, end] = [Date.parse(from), Date.parse(until)];
  const latest = new Map<string, Attempt["verdict"]>();
  for (const { subscription, position, replayed, redriven_at, verdict } of attempts) {
    const at = redriven_at === null ? NaN : Date.parse(redriven_at);
    const key = `${subscription} ${position} ${replayed}`;
    if (at >= begin && at <= end && !latest.has(key)) {
      latest.set(key, verdict);
    }
  }
  const verdicts = [...latest.values()];
  const of = (wanted: Attempt["verdict"]) => verdicts.filter((verdict) => verdict === wanted).length;
  const pending = Math.max(0, redriven - verdicts.length);
  return { handled: of("handled"), dead: of("dead"), retrying: of("retried"), pending, isPartial };
}

/** Reads what has become of a redrive. */
export async function readOutcome(redrive: Redrive): Promise<RedriveOutcome> {
  const attempts: Attempt[] = [];
  let isPartial = redrive.subscriptions.length > SUBSCRIPTIONS;
  for (const subscription of redrive.subscriptions.slice(0, SUBSCRIPTIONS)) {
    let after: string | undefined;
    for (let read = 0; read < PAGES; read += 1) {
      const query = { subscription, since: redrive.from, limit: 1_000, after };
      const page = await call("get", "/v1/attempts", { params: { query } });
      attempts.push(...page.attempts);
      after = page.next ?? undefined;
      if (after === undefined) {
        break;
      }
    }
    isPartial ||= after !== undefined;
  }
  return outcomeOf(redrive, attempts, isPartial);
}
