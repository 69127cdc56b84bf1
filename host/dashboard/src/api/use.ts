/** Reads the admin API from components. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import useSWR, { useSWRConfig, type SWRResponse } from "swr";
import useSWRInfinite from "swr/infinite";
import { endSession } from "./access";
import { useShownCall } from "./calls";
import { call, callTagged, urlOf, type ApiError, type DataOf, type Init, type PathOf, type Tagged } from "./client";

/** How often a page reads figures that change all the time, in milliseconds. */
export const REFRESH = 2_000;

interface Options {
  /** How often to read again, in milliseconds. 0 for once. */
  refresh?: number;
}

/** How resources are read: again if the host does not answer or fails, and not without a valid token. */
export const READING = {
  shouldRetryOnError: (error: ApiError) => error.status === 0 || error.status >= 500,
  errorRetryInterval: 2_000,
  onError: logInIfRejected,
};

/**
 * Reads a resource and keeps it current. While it is read again, the last value stays.
 *
 * Pass null as the path to read nothing yet.
 */
export function useGet<Path extends PathOf<"get">>(
  path: Path | null,
  init?: Init<Path, "get">,
  options: Options = {},
): SWRResponse<DataOf<Path, "get">, ApiError> {
  const url = path === null ? null : urlOf(path, init);
  useShownCall(url === null ? null : `GET ${url}`);
  return useSWR<DataOf<Path, "get">, ApiError>(url, () => call("get", path as Path, init), {
    refreshInterval: options.refresh ?? REFRESH,
    ...READING,
  });
}

/** Reads a resource with its `ETag`, as `useGet` does. */
export function useTagged<Path extends PathOf<"get">>(
  path: Path | null,
  init?: Init<Path, "get">,
  options: Options = {},
): SWRResponse<Tagged<DataOf<Path, "get">>, ApiError> {
  const url = path === null ? null : urlOf(path, init);
  useShownCall(url === null ? null : `GET ${url}`);
  return useSWR<Tagged<DataOf<Path, "get">>, ApiError>(
    url === null ? null : ["tagged", url],
    () => callTagged("get", path as Path, init),
    {
      refreshInterval: options.refresh ?? REFRESH,
      ...READING,
    },
  );
}

/** The pages that have been read of a list. */
export interface Pages<Item> {
  items: Item[];
  /** How many pages have been read. A page may be empty although more follow. */
  pagesRead: number;
  error: ApiError | undefined;
  isLoading: boolean;
  /** Reads the next page, if there is one. */
  readMore: () => void;
  hasMore: boolean;
  /** Reads the pages again. */
  reload: () => void;
  /** Begins again with the first page. */
  restart: () => void;
}

/** Reads a list that has pages, each with the cursor of the next one in `next`. */
export function usePages<Path extends PathOf<"get">, Item>(
  path: Path,
  init: { params: { query: Record<string, unknown>; path?: Record<string, string> } },
  items: (page: DataOf<Path, "get">) => Item[],
  options: Options = {},
): Pages<Item> {
  useShownCall(`GET ${urlOf(path, init)}`);
  const initOf = (after: string | undefined) =>
    ({ params: { ...init.params, query: { ...init.params.query, after } } }) as unknown as Init<Path, "get">;
  const refresh = options.refresh ?? 0;
  const next = (page: DataOf<Path, "get">) => (page as { next?: string | null }).next ?? undefined;
  const pages = useSWRInfinite<DataOf<Path, "get">, ApiError>(
    (index, previous: DataOf<Path, "get"> | null) => {
      if (index > 0 && (previous === null || next(previous) === undefined)) {
        return null;
      }
      return [urlOf(path, init), previous === null ? undefined : next(previous)] as const;
    },
    (key: readonly [string, string | undefined]) => call("get", path, initOf(key[1])),
    {
      refreshInterval: refresh,
      // A list that is kept current reads all its pages again. Another one reads them when it opens, and after a change.
      revalidateAll: refresh > 0,
      revalidateFirstPage: false,
      revalidateOnMount: true,
      shouldRetryOnError: false,
      onError: logInIfRejected,
    },
  );
  useReadAfterChange(() => void pages.mutate());
  const read = pages.data ?? [];
  const last = read.at(-1);
  return {
    items: read.flatMap(items),
    pagesRead: read.length,
    error: pages.error,
    isLoading: pages.isLoading,
    hasMore: last !== undefined && next(last) !== undefined,
    // The table asks for the same page until it has arrived.
    readMore: () => void (pages.size <= read.length && pages.setSize(read.length + 1)),
    reload: () => void pages.mutate(),
    restart: () => void pages.setSize(1).then(() => pages.mutate()),
  };
}

/** The number of changes that the reader has made. Lists with pages watch it, because `mutate` below leaves them out. */
const changes = signal(0);

function useReadAfterChange(read: () => void) {
  const seen = useRef(changes.value);
  useEffect(() => {
    if (seen.current !== changes.value) {
      seen.current = changes.value;
      read();
    }
  });
}

/** How long the host usually needs for what follows from a change, such as an attempt after a replay, in milliseconds. */
const AFTERMATH = 500;

/** Reads everything on the page again after a change, and once more when what follows from it has probably happened. */
export function useReload(): () => void {
  const { mutate } = useSWRConfig();
  const read = () => {
    changes.value += 1;
    void mutate(() => true);
  };
  return () => {
    read();
    setTimeout(read, AFTERMATH);
  };
}

/** Leads to the login if the host no longer accepts the reader's token. */
export function logInIfRejected(error: ApiError): void {
  if (error.status === 401) {
    endSession();
  }
}
