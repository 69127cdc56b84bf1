import useSWR from "swr";
import { useShownCall } from "../../api/calls";
import { call, urlOf, type ApiError, type Schemas } from "../../api/client";
import { READING } from "../../api/use";
import { parseExact } from "../../model/exact_json";

/** Reads the events with an id, with all digits of the numbers in their data. */
export function useEvents(id: string) {
  const init = { params: { path: { id } } };
  const url = urlOf("/v1/events/{id}", init);
  useShownCall(`GET ${url}`);
  return useSWR<Schemas["EventView"][], ApiError>(
    ["exact", url],
    async () => {
      const text = (await call("get", "/v1/events/{id}", { ...init, parseAs: "text" })) as unknown as string;
      return (parseExact(text) as Schemas["EventList"]).events;
    },
    {
      ...READING,
      revalidateOnFocus: false,
    },
  );
}
