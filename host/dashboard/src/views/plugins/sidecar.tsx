import { useState } from "preact/hooks";
import { may } from "../../api/access";
import { ApiError, call } from "../../api/client";
import { useTagged } from "../../api/use";
import { confirmChange } from "../../components/confirm";
import { notifyFailure } from "../../components/notice";
import { Empty, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { counted } from "../../model/format";
import { ifMatch, putSidecar } from "../../model/plugin_calls";
import { changedLines } from "../../model/plugin_texts";

/** The sidecar of a plugin, for readers who may see it. */
export function Sidecar({ name }: { name: string }) {
  if (!may("get_sidecar")) {
    return (
      <Empty title="Your role does not show sidecars.">
        They may contain secrets. A token with the role <code>deploy</code> or <code>admin</code> shows them, unless it
        hides payloads.
      </Empty>
    );
  }
  return <Present name={name} />;
}

function Present({ name }: { name: string }) {
  const options = { params: { path: { name } }, parseAs: "text" as const };
  const sidecar = useTagged("/v1/plugins/{name}/sidecar", options, { refresh: 10_000 });
  const isAbsent = sidecar.error?.status === 404;
  const isWritable = may("put_sidecar");
  if (sidecar.error !== undefined && !isAbsent) {
    return <Problem error={sidecar.error} />;
  }
  if (sidecar.data === undefined && !isAbsent) {
    return (
      <p class="muted" role="status">
        Loading…
      </p>
    );
  }
  const text = isAbsent ? "" : (sidecar.data?.data ?? "");
  const tag = isAbsent ? null : (sidecar.data?.tag ?? null);
  return (
    <Section title="Sidecar">
      {isAbsent && (
        <p>
          {name} has no sidecar, so the defaults apply.{isWritable && " To create one, write TOML below."}
        </p>
      )}
      {isWritable ? (
        <Editor name={name} text={text} tag={tag} />
      ) : (
        !isAbsent && (
          <pre class="code" tabIndex={0} aria-label="Sidecar">
            {text}
          </pre>
        )
      )}
    </Section>
  );
}

interface Draft {
  text: string;
  /** What the reader began with. */
  base: string;
  tag: string | null;
}

function Editor({ name, text, tag }: { name: string; text: string; tag: string | null }) {
  const [draft, setDraft] = useState<Draft | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const shown = draft?.text ?? text;
  const hasChanged = draft !== null && draft.tag !== tag;
  const discard = () => {
    setDraft(null);
    setError(null);
  };
  const attempt = async (change: () => Promise<void>, done: string) => {
    setError(null);
    await change();
    setDraft(null);
    return done;
  };
  const fail = (failure: unknown) => (failure instanceof ApiError ? setError(failure) : notifyFailure(failure));
  const save = () => draft !== null && confirmSave(name, draft, attempt, fail);
  return (
    <div class="stack">
      <div class="field">
        <label for="sidecar-text">TOML</label>
        <textarea
          id="sidecar-text"
          rows={Math.min(30, Math.max(8, shown.split("\n").length + 1))}
          spellcheck={false}
          value={shown}
          onInput={(event) =>
            setDraft({ base: text, tag, ...draft, text: event.currentTarget.value })
          }
        />
      </div>
      {error !== null && <Problem error={error} />}
      {hasChanged && <p role="status">The sidecar has changed since you began. Discard your draft to see it.</p>}
      <div class="actions">
        <button type="button" class="primary" disabled={draft === null || draft.text === draft.base} onClick={save}>
          Save
        </button>
        <button type="button" disabled={draft === null} onClick={discard}>
          Discard draft
        </button>
        {tag !== null && may("remove_sidecar") && (
          <button type="button" class="danger" onClick={() => confirmRemove(name, tag, attempt, fail)}>
            Remove sidecar
          </button>
        )}
      </div>
    </div>
  );
}

type Attempt = (change: () => Promise<void>, done: string) => Promise<string>;

function confirmSave(name: string, draft: Draft, attempt: Attempt, onFailure: (error: unknown) => void) {
  const { added, removed } = changedLines(draft.base, draft.text);
  const lines = `Adds ${counted(added, "line")} and removes ${counted(removed, "line")}.`;
  confirmChange({
    title: "Save sidecar",
    effect: `${lines} The host loads ${name} with the new sidecar. If that fails, the present one stays.`,
    call: `PUT /v1/plugins/${encodeURIComponent(name)}/sidecar`,
    run: () => attempt(() => putSidecar(name, draft.text, draft.tag), `${name} runs with the sidecar.`),
    onFailure,
  });
}

function confirmRemove(name: string, tag: string, attempt: Attempt, onFailure: (error: unknown) => void) {
  confirmChange({
    title: "Remove sidecar",
    effect: `Deletes the sidecar of ${name}. The host loads ${name} with the defaults: without configuration and grants.`,
    call: `DELETE /v1/plugins/${encodeURIComponent(name)}/sidecar`,
    isDestructive: true,
    onFailure,
    run: () => {
      const remove = async () => {
        await call("delete", "/v1/plugins/{name}/sidecar", { params: { path: { name }, header: ifMatch(tag) } });
      };
      return attempt(remove, `${name} runs without a sidecar.`);
    },
  });
}
