import { useId } from "preact/hooks";
import { useGet } from "../../api/use";
import { draftLike, type Draft } from "../../model/draft";
import { isReservedType } from "../../model/event_copies";
import { isPattern } from "../../model/pattern";
import { timeText, utc } from "../../model/time";
import { ScenarioChoice, useScenarios } from "./scenario_samples";

/** How many recent events are offered. */
const OFFERED = 20;

/** The types that subscriptions name without wildcards, and those of recent events. */
export function useTypes(): string[] {
  const subscriptions = useGet("/v1/subscriptions", {}, { refresh: 10_000 });
  const recent = useGet("/v1/events", { params: { query: { limit: 100 } } }, { refresh: 0 });
  const patterns = (subscriptions.data?.subscriptions ?? []).map(({ pattern }) => pattern);
  const types = (recent.data?.events ?? []).map(({ event }) => event.type);
  const exact = patterns.filter((pattern) => !/(^|\.)[*>](\.|$)/.test(pattern));
  return [...new Set([...exact, ...types])].filter((type) => !isReservedType(type)).sort();
}

/** Events to begin with: from scenarios, and from the log. */
export function Samples(props: { type: string; onChoose: (draft: Draft) => void }) {
  const { data } = useScenarios();
  // The form has no binary data.
  const events = (data?.samples ?? []).filter(({ event }) => event !== null && event.data_base64 === undefined);
  return (
    <div class="publish-beginnings">
      <RecentEvents {...props} />
      <ScenarioChoice
        label="Begin with an event of a scenario"
        samples={events}
        textOf={({ event }) => event?.type ?? ""}
        onChoose={({ event }) => event !== null && props.onChoose(draftLike(event))}
      />
    </div>
  );
}

/** Recent events to begin with: of the type in the form, or of any. */
function RecentEvents({ type, onChoose }: { type: string; onChoose: (draft: Draft) => void }) {
  const id = useId();
  const query = { type: isPattern(type) ? type : undefined, limit: OFFERED };
  const recent = useGet("/v1/events", { params: { query } }, { refresh: 0 });
  const events = (recent.data?.events ?? []).filter(
    // The form has no binary data.
    ({ event }) => !isReservedType(event.type) && event.data_base64 === undefined,
  );
  return (
    <div class="field publish-samples">
      <label for={id}>Begin with a recent event</label>
      <select
        id={id}
        value=""
        disabled={events.length === 0}
        onInput={(change) => {
          const chosen = events.find(({ position }) => String(position) === change.currentTarget.value);
          if (chosen !== undefined) {
            onChoose(draftLike(chosen.event));
          }
          change.currentTarget.value = "";
        }}
      >
        <option value="">{events.length === 0 ? "No recent event" : "Choose an event"}</option>
        {events.map(({ event, position, stored_at }) => (
          <option key={position} value={position}>
            {`${event.type}, ${timeText(stored_at, utc.value)}, ${event.source}`}
          </option>
        ))}
      </select>
    </div>
  );
}
