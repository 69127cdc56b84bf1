import { may } from "../../api/access";
import type { ApiError } from "../../api/client";
import { useGet } from "../../api/use";
import type { Facts } from "../../model/overview_problems";
import { useMinutes } from "./use_minutes";

/** The largest page of a list. */
const LIMIT = 1_000;

/** What the page knows about the host. */
export interface Health {
  facts: Facts;
  /** Whether all parts have been read that the reader may see. */
  isComplete: boolean;
  errors: ApiError[];
  /** The lists of which only the first page is checked. */
  truncated: string[];
}

/** Reads everything in which problems show. A token of one plugin does not lead here. */
export function useFacts(): Health {
  const plugins = useGet("/v1/plugins", { params: { query: { limit: LIMIT } } });
  const subscriptions = useGet("/v1/subscriptions", { params: { query: { limit: LIMIT } } });
  const groups = useGet("/v1/dead-letters/groups", { params: { query: { status: "open", limit: LIMIT } } });
  const statistics = useGet("/v1/statistics");
  const storage = useGet(may("get_storage") ? "/v1/storage" : null, undefined, { refresh: 30_000 });
  const minutes = useMinutes({ range: "15m" });
  const all = [plugins, subscriptions, groups, statistics];
  const isMore = (list: { next: string | null } | undefined) => list !== undefined && list.next !== null;
  return {
    facts: {
      plugins: plugins.data?.plugins,
      folderError: plugins.data?.folder_error,
      subscriptions: subscriptions.data?.subscriptions,
      groups: groups.data?.groups,
      statistics: statistics.data,
      storage: storage.data,
      minutes: minutes.minutes,
    },
    isComplete: all.every((part) => part.data !== undefined),
    errors: [...all, storage, minutes].flatMap((part) => part.error ?? []),
    truncated: [
      ...(isMore(plugins.data) ? ["plugins"] : []),
      ...(isMore(subscriptions.data) ? ["subscriptions"] : []),
      ...(isMore(groups.data) ? ["groups of dead letters"] : []),
    ],
  };
}
