/** The API calls behind the open page. The footer shows them. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** A call as the footer shows it, such as `GET /v1/plugins`, and the number of components that make it. */
export const pageCalls = signal<ReadonlyMap<string, number>>(new Map());

function count(name: string, by: number) {
  const next = new Map(pageCalls.value);
  const uses = (next.get(name) ?? 0) + by;
  if (uses > 0) {
    next.set(name, uses);
  } else {
    next.delete(name);
  }
  pageCalls.value = next;
}

/** Shows a call in the footer while the component is mounted. */
export function useShownCall(name: string | null) {
  useEffect(() => {
    if (name === null) {
      return;
    }
    count(name, 1);
    return () => count(name, -1);
  }, [name]);
}
