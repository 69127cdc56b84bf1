import { useState } from "preact/hooks";
import { call, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { confirmChange } from "../../components/confirm";
import { Section } from "../../components/page";
import { counted } from "../../model/format";
import { EMPTY_DRAFT, draftOf, subscriptionRequestOf, type SubscriptionDraft } from "../../model/subscription_form";
import { Area, Choice, Field, FormActions } from "../../components/fields";

/** A subscription that exists, with its `ETag` when the form was opened. */
interface Existing {
  name: string;
  rules: Schemas["SubscriptionRules"];
  tag: string | null;
}

interface Props {
  existing?: Existing;
  close: () => void;
  /** Called with the id of the subscription. */
  saved: (id: string) => void;
}

/** What each part of the form gets: the entered texts, and how to change them. */
interface PartProps {
  draft: SubscriptionDraft;
  change: (changes: Partial<SubscriptionDraft>) => void;
}

/** A form that creates or changes a subscription of the operator. */
export function SubscriptionForm({ existing, close, saved }: Props) {
  // What the form began with. Later changes of others fail the condition on the tag.
  const [opened] = useState(existing);
  const [before] = useState(() => (opened === undefined ? null : draftOf(opened.name, opened.rules)));
  const [draft, setDraft] = useState(before ?? EMPTY_DRAFT);
  const change = (changes: Partial<SubscriptionDraft>) => setDraft((current) => ({ ...current, ...changes }));
  const checked = subscriptionRequestOf(draft, before);
  const submit = (event: Event) => {
    event.preventDefault();
    if ("request" in checked) {
      confirmSave(checked.request, opened?.tag ?? null, before !== null, (id) => {
        close();
        saved(id);
      });
    }
  };
  return (
    <Section title={before === null ? "Create subscription" : "Change subscription"}>
      <form class="form card stack" onSubmit={submit}>
        <Events draft={draft} change={change} isNew={before === null} />
        <Target draft={draft} change={change} isNew={before === null} />
        <Rules draft={draft} change={change} />
        <p class="muted" role="status">
          {"fault" in checked ? checked.fault : "Empty fields have the default, or keep their value."}
        </p>
        <FormActions submit={before === null ? "Create" : "Change"} isBlocked={"fault" in checked} close={close} />
      </form>
    </Section>
  );
}

function confirmSave(
  request: Schemas["SubscriptionRequest"],
  tag: string | null,
  exists: boolean,
  saved: (id: string) => void,
): void {
  const { secret, ...shown } = maskOf(request);
  confirmChange({
    title: exists ? "Change subscription" : "Create subscription",
    effect: (
      <>
        <p>
          {exists ? "Changes" : "Creates"} operator/{request.name}. The body of the call
          {secret && ", without the secret"}:
        </p>
        <pre class="code" tabIndex={0} aria-label="Body of the call">
          {JSON.stringify(shown, null, 2)}
        </pre>
      </>
    ),
    call: "POST /v1/subscriptions",
    run: async () => {
      const result = await call("post", "/v1/subscriptions", {
        body: request,
        headers: tag === null ? {} : { "If-Match": tag },
      });
      saved(result.id);
      return result.created ? `${result.id} is created.` : `${result.id}: ${counted(result.changes.length, "rule")} changed.`;
    },
  });
}

/** A request as the dialog shows it: without the secret. */
function maskOf(request: Schemas["SubscriptionRequest"]): Schemas["SubscriptionRequest"] & { secret: boolean } {
  const { target } = request;
  if (target == null || "plugin" in target || typeof target.webhook.secret !== "string") {
    return { ...request, secret: false };
  }
  return { ...request, target: { webhook: { ...target.webhook, secret: "…" } }, secret: true };
}

function Events({ draft, change, isNew }: PartProps & { isNew: boolean }) {
  return (
    <fieldset class="form-part">
      <legend>Events</legend>
      <div class="fields">
        <Field label="Name" value={draft.name} set={(name) => change({ name })} isFixed={!isNew} />
        <Field label="Pattern" value={draft.pattern} set={(pattern) => change({ pattern })} hint="order.*, order.>" />
        <Field
          label="Ordering key"
          value={draft.orderingKey}
          set={(orderingKey) => change({ orderingKey })}
          hint="subject, data.order"
        />
        {isNew && (
          <Choice
            label="Start"
            value={draft.start}
            choices={["now", "beginning", "position", "time"]}
            set={(start) => change({ start })}
          />
        )}
        {isNew && draft.start === "position" && (
          <Field label="Position" value={draft.startPosition} set={(startPosition) => change({ startPosition })} />
        )}
        {isNew && draft.start === "time" && (
          <Field
            label="Time, in your zone"
            type="datetime-local"
            value={draft.startTime}
            set={(startTime) => change({ startTime })}
          />
        )}
      </div>
      <Area
        label="Filters, as a JSON array; all must match"
        value={draft.filters}
        set={(filters) => change({ filters })}
        hint={'[{"exact": {"source": "/shop"}}]'}
      />
    </fieldset>
  );
}

function Target({ draft, change, isNew }: PartProps & { isNew: boolean }) {
  const plugins = useGet("/v1/plugins", undefined, { refresh: 0 });
  const names = (plugins.data?.plugins ?? []).flatMap(({ name }) => (name === null ? [] : [name]));
  return (
    <fieldset class="form-part">
      <legend>Target</legend>
      <div class="fields">
        <Choice
          label="Deliver to"
          value={draft.target}
          choices={["webhook", "plugin"]}
          set={(target) => change({ target })}
        />
        {draft.target === "plugin" ? (
          <Field label="Plugin" value={draft.plugin} set={(plugin) => change({ plugin })} suggestions={names} />
        ) : (
          <>
            <Field label="URL" type="url" value={draft.url} set={(url) => change({ url })} hint="https://" />
            <Field
              label={isNew ? "Secret (optional)" : "New secret (optional)"}
              type="password"
              value={draft.secret}
              set={(secret) => change({ secret })}
              hint="whsec_"
            />
            <label class="check">
              <input
                type="checkbox"
                checked={draft.handshake}
                onChange={(event) => change({ handshake: event.currentTarget.checked })}
              />
              The endpoint must agree first (handshake)
            </label>
          </>
        )}
      </div>
    </fieldset>
  );
}

function Rules({ draft, change }: PartProps) {
  return (
    <fieldset class="form-part">
      <legend>Rules</legend>
      <div class="fields">
        <Field label="Attempts" value={draft.maxAttempts} set={(maxAttempts) => change({ maxAttempts })} />
        <Field
          label="Initial delay"
          value={draft.initialDelay}
          set={(initialDelay) => change({ initialDelay })}
          hint="500ms"
        />
        <Field label="Longest delay" value={draft.maxDelay} set={(maxDelay) => change({ maxDelay })} hint="5m" />
        <Field label="Factor between delays" value={draft.multiplier} set={(multiplier) => change({ multiplier })} />
        <Field label="Random share, 0 to 1" value={draft.jitter} set={(jitter) => change({ jitter })} />
        <Field
          label="Causes that are not retried"
          value={draft.nonRetryable}
          set={(nonRetryable) => change({ nonRetryable })}
          hint="trap, timeout"
        />
        <Field label="Timeout" value={draft.timeout} set={(timeout) => change({ timeout })} hint="5s" />
        <Field label="Concurrency" value={draft.concurrency} set={(concurrency) => change({ concurrency })} />
        <Field label="Largest backlog" value={draft.maxBacklog} set={(maxBacklog) => change({ maxBacklog })} />
        <Choice
          label="Dead letter policy"
          value={draft.policy}
          choices={["", "release", "park"]}
          set={(policy) => change({ policy })}
        />
      </div>
    </fieldset>
  );
}
