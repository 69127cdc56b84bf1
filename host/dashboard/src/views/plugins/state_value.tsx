import { useState } from "preact/hooks";
import { may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { useTagged } from "../../api/use";
import { confirmChange } from "../../components/confirm";
import { Facts } from "../../components/page";
import { Payload } from "../../components/payload";
import { Problem } from "../../components/problem";
import { bytes } from "../../model/format";
import { ifMatch } from "../../model/plugin_calls";
import { losslessJson } from "../../model/plugin_texts";

type Value = Schemas["StateValueView"];

interface Props {
  plugin: string;
  stateKey: string;
}

/** A value of a plugin's state. Those who may can change and delete it. */
export function StateValue({ plugin, stateKey }: Props) {
  const value = useTagged("/v1/plugins/{name}/state/{key}", { params: { path: { name: plugin, key: stateKey } } });
  const isAbsent = value.error?.status === 404;
  if (value.error !== undefined && !isAbsent) {
    return <Problem error={value.error} />;
  }
  if (isAbsent) {
    return (
      <>
        <p>There is no value with this key.</p>
        {may("put_state") && <Editor plugin={plugin} stateKey={stateKey} value={null} tag={null} />}
      </>
    );
  }
  if (value.data === undefined) {
    return (
      <p class="muted" role="status">
        Loading…
      </p>
    );
  }
  const { data, tag } = value.data;
  return (
    <>
      <Facts rows={[["Version", String(data.version)]]} />
      <Payload data={data.value === null ? undefined : losslessJson(data.value)} base64={data.value_base64} />
      {may("put_state") && <Editor plugin={plugin} stateKey={stateKey} value={data} tag={tag} />}
    </>
  );
}

interface Draft {
  text: string;
  isBase64: boolean;
  tag: string | null;
}

function Editor({ plugin, stateKey, value, tag }: Props & { value: Value | null; tag: string | null }) {
  const [draft, setDraft] = useState<Draft | null>(null);
  const begin = () => {
    const base64 = value?.value_base64 ?? null;
    setDraft({ text: base64 ?? value?.value ?? "", isBase64: base64 !== null, tag });
  };
  if (draft === null) {
    return (
      <div class="actions">
        <button type="button" onClick={begin}>
          {value === null ? "Create value" : "Edit value"}
        </button>
        {value !== null && may("delete_state") && (
          <button type="button" class="danger" onClick={() => confirmDelete(plugin, stateKey, value, tag)}>
            Delete value
          </button>
        )}
      </div>
    );
  }
  return (
    <div class="stack">
      <div class="field">
        <label for="state-value">{draft.isBase64 ? "Value in base64" : "Value"}</label>
        <textarea
          id="state-value"
          rows={6}
          spellcheck={false}
          value={draft.text}
          onInput={(event) => setDraft({ ...draft, text: event.currentTarget.value })}
        />
      </div>
      {draft.tag !== tag && <p role="status">The value has changed since you began. Cancel to see the new one.</p>}
      <div class="actions">
        <button
          type="button"
          class="primary"
          onClick={() => confirmPut(plugin, stateKey, draft, () => setDraft(null))}
        >
          Save value
        </button>
        <button type="button" onClick={() => setDraft(null)}>
          Cancel
        </button>
      </div>
    </div>
  );
}

function urlOfKey(plugin: string, key: string): string {
  return `/v1/plugins/${encodeURIComponent(plugin)}/state/${encodeURIComponent(key)}`;
}

function confirmPut(plugin: string, key: string, draft: Draft, onDone: () => void) {
  const { text, isBase64, tag } = draft;
  const condition = tag === null ? "it still has no value" : "it still has the version that you edited";
  const size = isBase64 ? "" : ` to ${bytes(new TextEncoder().encode(text).length)}`;
  confirmChange({
    title: "Save value",
    effect: `Sets ${key} in the state of ${plugin}${size}, if ${condition}. A running handler that has read the old value runs again.`,
    call: `PUT ${urlOfKey(plugin, key)}`,
    run: async () => {
      const version = tag === null ? 0 : null;
      const body = isBase64 ? { value: null, value_base64: text, version } : { value: text, value_base64: null, version };
      const params = { path: { name: plugin, key }, header: ifMatch(tag) };
      const saved = await call("put", "/v1/plugins/{name}/state/{key}", { params, body });
      onDone();
      return `${key} has version ${saved.version}.`;
    },
  });
}

function confirmDelete(plugin: string, key: string, value: Value, tag: string | null) {
  confirmChange({
    title: "Delete value",
    effect: `Deletes ${key} from the state of ${plugin}, if it still has version ${value.version}.`,
    call: `DELETE ${urlOfKey(plugin, key)}`,
    isDestructive: true,
    run: async () => {
      const params = { path: { name: plugin, key }, header: ifMatch(tag) };
      await call("delete", "/v1/plugins/{name}/state/{key}", { params });
      return `${key} is deleted.`;
    },
  });
}
