/** Deliveries that wait for a retry. */

import { call } from "../../api/client";

/** How many deliveries there are. */
export interface CountedDeliveries {
  count: number;
  /** Whether all of them were counted. */
  isAll: boolean;
}

/** The most pages that are read to count deliveries. */
const PAGES = 20;

/** Counts the deliveries of a subscription that wait for a retry. */
export async function countRetrying(subscription: string): Promise<CountedDeliveries> {
  let count = 0;
  let after: string | undefined;
  for (let read = 0; read < PAGES; read += 1) {
    const query = { subscription, state: "retrying" as const, limit: 1_000, after };
    const page = await call("get", "/v1/deliveries", { params: { query } });
    count += page.deliveries.length;
    after = page.next ?? undefined;
    if (after === undefined) {
      return { count, isAll: true };
    }
  }
  return { count, isAll: false };
}
