import { useEffect, useRef, useState } from "preact/hooks";
import { useShownCall } from "../../api/calls";
import { ApiError, call, urlOf } from "../../api/client";
import { MINUTE, merge, type Minute } from "../../model/minutes";
import { rangeOf, type Range } from "../../model/overview_range";

/** How often the page looks for minutes that have ended, in milliseconds. */
const INTERVAL = 10_000;
/** How long after its end a minute is shown, so that the host has written it. */
const SETTLING = 5_000;
const PAGE = 20_000;
const PAGES = 5;

/** The minutes that the page shows. */
export interface Minutes {
  range: Range;
  /** Undefined until the host has answered. */
  minutes: Minute[] | undefined;
  error: ApiError | undefined;
  /** Whether the host has more entries than the page reads. */
  isTruncated: boolean;
}

interface What {
  plugin?: string;
  subscription?: string;
  range?: string;
  from?: string;
  to?: string;
}

/** Reads the aggregates of a time, and those of each further minute when it has ended. */
export function useMinutes(what: What): Minutes {
  const key = JSON.stringify([what.plugin, what.subscription, what.range, what.from, what.to]);
  const currentRange = () => rangeOf(what, Date.now() - SETTLING);
  const [shown, setShown] = useState<Minutes & { key: string }>();
  const latest = useRef(shown);
  const state = shown?.key === key ? shown : undefined;
  const range = state?.range ?? currentRange();
  useShownCall(`GET ${urlOf("/v1/statistics/minutes", { params: { query: queryOf(what, range.from, range.to) } })}`);
  useEffect(() => {
    let isGone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = (next: Minutes) => {
      latest.current = { ...next, key };
      setShown(latest.current);
    };
    const update = async () => {
      const known = latest.current?.key === key ? latest.current : undefined;
      const next = currentRange();
      if (known?.minutes === undefined || known.error !== undefined || known.range.to !== next.to) {
        const read = await readMinutes(what, next, known);
        if (!isGone) {
          show(read);
        }
      }
      if (!isGone) {
        timer = setTimeout(() => void update(), INTERVAL);
      }
    };
    void update();
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, [key]);
  return state ?? { range, minutes: undefined, error: undefined, isTruncated: false };
}

/** Reads the minutes of a range. Of those that are known, it reads the last two again. */
async function readMinutes(what: What, range: Range, known: Minutes | undefined): Promise<Minutes> {
  const kept = (known?.minutes ?? []).filter((minute) => Date.parse(minute.at) >= range.from);
  const from = known?.minutes === undefined ? range.from : Math.max(range.from, known.range.to - 2 * MINUTE);
  const read: Minute[] = [];
  let after: string | undefined;
  try {
    for (let page = 0; page < PAGES; page += 1) {
      const query = { ...queryOf(what, from, range.to), after };
      const answer = await call("get", "/v1/statistics/minutes", { params: { query } });
      read.push(...answer.minutes);
      after = answer.next ?? undefined;
      if (after === undefined) {
        break;
      }
    }
  } catch (failure) {
    const error = failure instanceof ApiError ? failure : new ApiError(0, "unreachable", String(failure));
    return { range: known?.range ?? range, minutes: known?.minutes, error, isTruncated: known?.isTruncated ?? false };
  }
  const isTruncated = after !== undefined || (known?.isTruncated ?? false);
  return { range, minutes: merge(kept, read), error: undefined, isTruncated };
}

function queryOf(what: What, from: number, to: number) {
  return {
    plugin: what.plugin,
    subscription: what.subscription,
    since: new Date(from).toISOString(),
    until: new Date(to - MINUTE).toISOString(),
    limit: PAGE,
  };
}
