import { useGet } from "../../api/use";
import { FilterField } from "../../components/filter_field";
import { localOf, rfc3339Of } from "../../model/local_time";
import { patternFault } from "../../model/pattern";
import { useQuery } from "../../model/query";
import { utc, zoneName } from "../../model/time";

/** The names of the filters, which are those of the API. */
export const FILTERS = ["type", "source", "subject", "id_prefix", "correlation", "since", "until"] as const;

/** Which events to list. The host applies all of it. */
export function EventFilters() {
  const query = useQuery();
  const subscriptions = useGet("/v1/subscriptions", {}, { refresh: 0 });
  const patterns = new Set((subscriptions.data?.subscriptions ?? []).map(({ pattern }) => pattern));
  const field = (name: (typeof FILTERS)[number], label: string) => (
    <FilterField label={label} value={query.get(name)} onCommit={(value) => query.set({ [name]: value })} />
  );
  const time = (name: "since" | "until", label: string) => (
    <FilterField
      key={`${name} ${utc.value}`}
      label={`${label} (${zoneName(utc.value)})`}
      type="datetime-local"
      value={localOf(query.get(name), utc.value)}
      onCommit={(value) => query.set({ [name]: rfc3339Of(value, utc.value) })}
    />
  );
  return (
    <form class="fields" aria-label="Filter" onSubmit={(event) => event.preventDefault()}>
      <FilterField
        label="Type"
        value={query.get("type")}
        placeholder="order.placed, order.*, order.>"
        check={patternFault}
        options={[...patterns].sort()}
        onCommit={(type) => query.set({ type })}
      />
      {field("source", "Source")}
      {field("subject", "Subject")}
      {field("id_prefix", "Beginning of the id")}
      {field("correlation", "Correlation id")}
      {time("since", "Stored since")}
      {time("until", "Stored before")}
    </form>
  );
}
