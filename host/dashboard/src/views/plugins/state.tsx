import { useState } from "preact/hooks";
import { access } from "../../api/access";
import { usePages } from "../../api/use";
import { Empty, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table } from "../../components/table";
import { count } from "../../model/format";
import { useQuery } from "../../model/query";
import { StateValue } from "./state_value";

/** The keys of a plugin's state, and the value of one. */
export function PluginState({ name }: { name: string }) {
  const query = useQuery();
  const key = query.get("key");
  return (
    <>
      <Keys name={name} onOpen={(opened) => query.set({ key: opened })} />
      {key !== undefined && (
        <Section
          title={`Value of ${key}`}
          actions={
            <button type="button" onClick={() => query.set({ key: undefined })}>
              Close
            </button>
          }
        >
          {access.value?.hide_payloads === true ? (
            <Empty title="Your token hides payloads, so it does not show values." >
              A token without <code>--hide-payloads</code> shows them.
            </Empty>
          ) : (
            <StateValue key={key} plugin={name} stateKey={key} />
          )}
        </Section>
      )}
    </>
  );
}

function Keys({ name, onOpen }: { name: string; onOpen: (key: string) => void }) {
  const query = useQuery();
  const prefix = query.get("prefix") ?? "";
  const pages = usePages("/v1/plugins/{name}/state", { params: { path: { name }, query: { limit: 1_000 } } }, (page) => page.keys);
  const keys = pages.items.filter((key) => key.startsWith(prefix));
  return (
    <Section
      title="Keys"
      actions={
        <button type="button" onClick={pages.reload}>
          Read again
        </button>
      }
    >
      <div class="fields">
        <div class="field">
          <label for="state-prefix">Prefix</label>
          <input
            id="state-prefix"
            type="search"
            value={prefix}
            onInput={(event) => query.set({ prefix: event.currentTarget.value })}
          />
        </div>
        <OpenKey onOpen={onOpen} />
      </div>
      {pages.error !== undefined && <Problem error={pages.error} />}
      <Table
        label="Keys"
        columns={[{ title: "Key", width: "minmax(0, 1fr)", cell: (key: string) => <Key name={key} onOpen={onOpen} /> }]}
        items={keys}
        keyOf={(key) => key}
        onEnd={pages.hasMore && !pages.isLoading ? pages.readMore : undefined}
        height="40vh"
        empty={<NoKeys isLoading={pages.isLoading} hasPrefix={prefix !== ""} />}
      />
      <p class="muted">
        {count(keys.length)} of {count(pages.items.length)} keys that have been read
        {pages.hasMore ? "; there are more. " : "."}
        {pages.hasMore && (
          <button type="button" class="quiet" onClick={pages.readMore}>
            Read more
          </button>
        )}
      </p>
    </Section>
  );
}

function Key({ name, onOpen }: { name: string; onOpen: (key: string) => void }) {
  return (
    <button type="button" class="quiet plugin-key" title={name} onClick={() => onOpen(name)}>
      {name}
    </button>
  );
}

function NoKeys({ isLoading, hasPrefix }: { isLoading: boolean; hasPrefix: boolean }) {
  if (isLoading) {
    return (
      <p class="muted" role="status">
        Loading…
      </p>
    );
  }
  return hasPrefix ? (
    <Empty title="No key that has been read begins with this.">Shorten the prefix, or read more keys.</Empty>
  ) : (
    <Empty title="The plugin has no state.">Its handlers have written none yet.</Empty>
  );
}

function OpenKey({ onOpen }: { onOpen: (key: string) => void }) {
  const [key, setKey] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    onOpen(key);
  };
  return (
    <form class="field" onSubmit={submit}>
      <label for="state-key">Key</label>
      <span class="actions plugin-open">
        <input id="state-key" required value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        <button type="submit">Open</button>
      </span>
    </form>
  );
}
