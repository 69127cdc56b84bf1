/** Filters in the address of the page, so that pages can be linked. */

import { useSearchParams } from "wouter-preact";

/** The values in the query of the page's address. */
export interface QueryValues {
  /** A value; undefined if the query does not have it. */
  get: (name: string) => string | undefined;
  /** Changes values. Undefined and "" remove one. */
  set: (changes: Record<string, string | undefined>) => void;
}

/** Reads and changes the query of the page's address. A change adds no entry to the history. */
export function useQuery(): QueryValues {
  const [, setParams] = useSearchParams();
  // The router decodes its values twice, which changes those with a percent sign.
  const params = new URLSearchParams(location.search);
  return {
    get: (name) => params.get(name) ?? undefined,
    set: (changes) => setParams(() => changed(new URLSearchParams(location.search), changes), { replace: true }),
  };
}

/** A query with changes. */
export function changed(current: URLSearchParams, changes: Record<string, string | undefined>): URLSearchParams {
  const next = new URLSearchParams(current);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === "") {
      next.delete(name);
    } else {
      next.set(name, value);
    }
  }
  return next;
}
