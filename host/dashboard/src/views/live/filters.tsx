import { access } from "../../api/access";
import { useGet } from "../../api/use";
import { FilterChoice, FilterField } from "../../components/filter_field";
import { patternFault } from "../../model/pattern";
import { useQuery } from "../../model/query";

/** What to follow. The host applies all of it, except for the text. */
export function LiveFilters() {
  const query = useQuery();
  // A token of one plugin must name it.
  const only = access.value?.plugin ?? undefined;
  const plugins = useGet(only === undefined ? "/v1/plugins" : null, {}, { refresh: 10_000 });
  const subscriptions = useGet("/v1/subscriptions", { params: { query: { plugin: only } } }, { refresh: 10_000 });
  const names = only === undefined ? (plugins.data?.plugins ?? []).flatMap(({ name }) => name ?? []) : [only];
  const ids = new Set((subscriptions.data?.subscriptions ?? []).map(({ id }) => id));
  return (
    <form class="fields" aria-label="Filter" onSubmit={(event) => event.preventDefault()}>
      <FilterChoice
        label="Plugin"
        value={query.get("plugin")}
        all="All plugins"
        options={[...new Set(names)].sort()}
        onCommit={(plugin) => query.set({ plugin, subscription: undefined })}
      />
      <FilterChoice
        label="Subscription"
        value={query.get("subscription")}
        all="All subscriptions, and requests"
        options={[...ids].sort()}
        onCommit={(subscription) => query.set({ subscription, plugin: undefined })}
      />
      <FilterField
        label="Event type"
        value={query.get("type")}
        placeholder="order.placed, order.*, order.>"
        check={patternFault}
        onCommit={(type) => query.set({ type })}
      />
      <FilterField label="Text" value={query.get("text")} onCommit={(text) => query.set({ text })} />
      <label class="live-check">
        <input
          type="checkbox"
          checked={query.get("failed") === "true"}
          onInput={(event) => query.set({ failed: event.currentTarget.checked ? "true" : undefined })}
        />
        Failures only
      </label>
    </form>
  );
}
