import { useState } from "preact/hooks";
import { may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Action } from "../../components/action";
import { confirmChange } from "../../components/confirm";
import { Facts, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { count, counted } from "../../model/format";
import { partsOf, subscriptionPath } from "../../model/paths";
import { EMPTY_REPLAY, replayEffect, replayRequestOf, type ReplayDraft } from "../../model/replay";
import { keepTotal, totalOf } from "../../model/replay_totals";
import { utc, withTimes } from "../../model/time";
import { Choice, Field, FormActions } from "../../components/fields";

type View = Schemas["SubscriptionView"];

/** The running replays of a subscription. */
export function Replays({ id }: { id: string }) {
  const list = useGet("/v1/subscriptions", { params: { query: { plugin: partsOf(id).owner } } });
  const replays = (list.data?.subscriptions ?? []).filter((view) => view.id === id && view.replay !== null);
  if (list.error !== undefined) {
    return <Problem error={list.error} />;
  }
  if (replays.length === 0) {
    return null;
  }
  return (
    <Section
      title="Running replays"
      actions={may("stop_replays") && <Action act={() => confirmStop(id, replays)}>Stop replays</Action>}
    >
      {replays.map((view) => (
        <Progress key={view.replay?.number} view={view} />
      ))}
    </Section>
  );
}

function Progress({ view }: { view: View }) {
  const { id, replay, backlog, cursor } = view;
  if (replay === null) {
    return null;
  }
  const total = totalOf(id, replay.number);
  const done = total === undefined ? undefined : Math.max(0, total - backlog);
  return (
    <div class="replay stack">
      {total !== undefined && done !== undefined && (
        <p>
          <progress max={total} value={done} aria-label={`Progress of replay ${replay.number}`} /> {count(done)} of{" "}
          {counted(total, "event")}
        </p>
      )}
      <Facts
        rows={[
          ["Replay", String(replay.number)],
          ["Deliveries left", count(backlog)],
          ["In flight", count(view.in_flight)],
          ["Done up to position", count(cursor)],
          ["Last position", count(replay.until)],
          ["Deliveries per second", replay.per_second === null ? "unlimited" : `at most ${count(replay.per_second)}`],
        ]}
      />
    </div>
  );
}

function confirmStop(id: string, replays: View[]): void {
  const left = replays.reduce((sum, { backlog }) => sum + backlog, 0);
  confirmChange({
    title: "Stop replays",
    effect: `Stops ${counted(replays.length, "replay")} of ${id}. ${counted(left, "delivery is", "deliveries are")} not made again.`,
    call: `DELETE /v1${subscriptionPath(id)}/replay`,
    run: async () => {
      const { stopped } = await call("delete", "/v1/subscriptions/{owner}/{name}/replay", {
        params: { path: partsOf(id) },
      });
      return `Stopped: ${counted(stopped, "replay")}.`;
    },
  });
}

/** A form that starts a replay. */
export function ReplayForm({ subscription, close }: { subscription: View; close: () => void }) {
  const [draft, setDraft] = useState(EMPTY_REPLAY);
  const checked = replayRequestOf(draft);
  const change = (changes: Partial<ReplayDraft>) => setDraft((current) => ({ ...current, ...changes }));
  const submit = (event: Event) => {
    event.preventDefault();
    if ("request" in checked) {
      confirmReplay(subscription, checked.request, close);
    }
  };
  return (
    <Section title="Replay">
      <form class="form card stack" onSubmit={submit}>
        <Bounds draft={draft} change={change} />
        <div class="fields">
          <Field
            label="Deliveries per second"
            value={draft.perSecond}
            set={(perSecond) => change({ perSecond })}
            hint="unlimited"
          />
          <Field label="Only the type" value={draft.type} set={(type) => change({ type })} hint="order.*" />
          <Field label="Only the source" value={draft.source} set={(source) => change({ source })} />
          <Field label="Only the subject" value={draft.subject} set={(subject) => change({ subject })} />
        </div>
        <p class="muted" role="status">
          {"fault" in checked
            ? checked.fault
            : "A replay delivers events that the cursor has passed, in parallel with new events."}
        </p>
        <FormActions submit="Replay" isBlocked={"fault" in checked} close={close} />
      </form>
    </Section>
  );
}

function Bounds({ draft, change }: { draft: ReplayDraft; change: (changes: Partial<ReplayDraft>) => void }) {
  const time = "datetime-local";
  return (
    <div class="fields">
      <Choice
        label="Start"
        value={draft.from}
        choices={["beginning", "position", "time"]}
        set={(from) => change({ from })}
      />
      {draft.from === "position" && (
        <Field label="First position" value={draft.fromPosition} set={(fromPosition) => change({ fromPosition })} />
      )}
      {draft.from === "time" && (
        <Field
          label="Stored since, in your zone"
          type={time}
          value={draft.fromTime}
          set={(fromTime) => change({ fromTime })}
        />
      )}
      <Choice label="Until" value={draft.until} choices={["now", "position", "time"]} set={(until) => change({ until })} />
      {draft.until === "position" && (
        <Field label="Last position" value={draft.untilPosition} set={(untilPosition) => change({ untilPosition })} />
      )}
      {draft.until === "time" && (
        <Field
          label="Stored before, in your zone"
          type={time}
          value={draft.untilTime}
          set={(untilTime) => change({ untilTime })}
        />
      )}
    </div>
  );
}

function confirmReplay({ id, cursor }: View, request: Schemas["ReplayRequest"], close: () => void): void {
  confirmChange({
    title: "Replay",
    effect: withTimes(replayEffect(id, request, cursor), utc.value),
    call: `POST /v1${subscriptionPath(id)}/replay ${JSON.stringify(request)}`,
    run: async () => {
      const { replay, events } = await call("post", "/v1/subscriptions/{owner}/{name}/replay", {
        params: { path: partsOf(id) },
        body: request,
      });
      close();
      if (replay === null) {
        return "There are no events to replay.";
      }
      keepTotal(id, replay, events);
      return `Replay ${replay} delivers ${counted(events, "event")} again.`;
    },
  });
}
