import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { partsOf } from "../../model/paths";

/** The lags of all subscriptions at a time. */
export interface LagSample {
  /** In milliseconds since 1970. */
  at: number;
  /** In seconds. Subscriptions without a backlog are left out. */
  lags: { plugin: string; subscription: string; lag: number }[];
}

/** The most samples that are kept: an hour of one every two seconds. */
const KEPT = 1_800;

/** The lags that have been read since the page was opened, because the host keeps no history of them. */
export function useLag(subscriptions: Schemas["SubscriptionView"][] | undefined): LagSample[] {
  const [samples, setSamples] = useState<LagSample[]>([]);
  useEffect(() => {
    if (subscriptions === undefined) {
      return;
    }
    const sample = { at: Date.now(), lags: subscriptions.flatMap(lagOf) };
    setSamples((earlier) => [...earlier.slice(1 - KEPT), sample]);
  }, [subscriptions]);
  return samples;
}

function lagOf({ id, lag_seconds: lag }: Schemas["SubscriptionView"]) {
  return lag === null ? [] : [{ plugin: partsOf(id).owner, subscription: id, lag }];
}
