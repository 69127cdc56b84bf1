import { useId, useState } from "preact/hooks";
import { call, urlOf, type Schemas } from "../../api/client";
import { confirmChange } from "../../components/confirm";
import { documentOf, faultsOf, queryOf, type Draft, type When } from "../../model/draft";
import { newId } from "../../model/event_copies";
import { localOf, rfc3339Of } from "../../model/local_time";
import { utc, withTimes, zoneName } from "../../model/time";
import { Field } from "./field";
import { Receivers, effectOf, useReceivers } from "./receivers";
import { Result, type Published } from "./result";
import { Samples, useTypes } from "./samples";

/** Writes an event and publishes it. */
export function EventForm({ initial }: { initial: Draft }) {
  const [draft, setDraft] = useState(initial);
  const [isChecked, setChecked] = useState(false);
  const [published, setPublished] = useState<Published | null>(null);
  const receivers = useReceivers(draft);
  const faults = isChecked ? faultsOf(draft) : {};
  const change = (fields: Partial<Draft>) => setDraft({ ...draft, ...fields });
  const submit = (event: Event) => {
    event.preventDefault();
    setChecked(true);
    const [first] = Object.keys(faultsOf(draft));
    if (first !== undefined) {
      const form = event.currentTarget as HTMLFormElement;
      form.querySelector<HTMLElement>(`[name="${first}"]`)?.focus();
      return;
    }
    publish(draft, effectOf(receivers, draft), setPublished);
  };
  const field = (name: keyof Draft, label: string, more: object = {}) => (
    <Field
      name={name}
      label={label}
      value={draft[name]}
      fault={faults[name]}
      onInput={(value) => change({ [name]: value })}
      {...more}
    />
  );
  return (
    <form class="stack" noValidate onSubmit={submit}>
      <Samples type={draft.type} onChoose={setDraft} />
      <div class="fields">
        {field("type", "Type", { options: useTypes(), placeholder: "order.placed" })}
        {field("source", "Source")}
        {field("subject", "Subject (optional)")}
        {field("id", "Id (optional)", { placeholder: "a new UUID" })}
        {field("contentType", "Content type", { options: ["application/json", "text/plain"] })}
      </div>
      {field("data", "Data", { rows: 8 })}
      <details open={draft.attributes !== "" || undefined}>
        <summary>Extension attributes</summary>
        {field("attributes", "One NAME=VALUE per line", { rows: 3 })}
      </details>
      <WhenFields draft={draft} change={change} field={field} />
      <Receivers receivers={receivers} draft={draft} />
      <div class="actions">
        <button type="submit" class="primary">
          Publish
        </button>
      </div>
      <div aria-live="polite">{published !== null && <Result published={published} />}</div>
    </form>
  );
}

interface WhenProps {
  draft: Draft;
  change: (fields: Partial<Draft>) => void;
  field: (name: keyof Draft, label: string, more?: object) => preact.JSX.Element;
}

function WhenFields({ draft, change, field }: WhenProps) {
  const id = useId();
  return (
    <div class="fields">
      <div class="field">
        <label for={id}>Enters the log</label>
        <select id={id} value={draft.when} onInput={(event) => change({ when: event.currentTarget.value as When })}>
          <option value="now">now</option>
          <option value="delay">after a delay</option>
          <option value="at">at a time</option>
        </select>
      </div>
      {draft.when === "delay" && field("delay", "Delay", { placeholder: "5m" })}
      {draft.when === "at" &&
        field("at", `Time (${zoneName(utc.value)})`, {
          type: "datetime-local",
          value: localOf(draft.at, utc.value),
          onInput: (value: string) => change({ at: rfc3339Of(value, utc.value) ?? "" }),
        })}
    </div>
  );
}

function publish(draft: Draft, effect: string, done: (published: Published) => void): void {
  const query = queryOf(draft);
  const event = documentOf(draft, newId());
  confirmChange({
    title: "Publish",
    effect: <p>{withTimes(effect, utc.value)}</p>,
    call: `POST ${urlOf("/v1/events", { params: { query } })}`,
    run: async () => {
      const result = (await call("post", "/v1/events", {
        params: { query },
        headers: { "content-type": "application/cloudevents+json" },
        body: event,
      })) as Schemas["PublishResult"];
      const receipt = result.accepted[0] ?? { id: event.id, duplicate: false };
      done({ ...receipt, source: event.source, isDelayed: draft.when !== "now" });
      return receipt.duplicate
        ? "Nothing published: the log has an event with this source and id already."
        : `Published ${receipt.id}.`;
    },
  });
}
