import { useState } from "preact/hooks";
import { useShownCall } from "../../api/calls";
import { ApiError, type Schemas } from "../../api/client";
import { CanaryDifferences } from "../../components/canary_differences";
import { Facts } from "../../components/page";
import { Problem } from "../../components/problem";
import { bytes, count, micros, short } from "../../model/format";
import { canaryCall, runCanary, type CanarySource } from "../../model/plugin_calls";

interface Props {
  name: string;
  source: CanarySource;
  onReport?: (report: Schemas["CanaryView"] | null) => void;
}

/** Compares a build or a generation with the running one, and shows the differences. It changes nothing. */
export function Canary({ name, source, onReport }: Props) {
  const [events, setEvents] = useState(100);
  const [isRunning, setRunning] = useState(false);
  const [report, setReport] = useState<Schemas["CanaryView"] | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useShownCall(canaryCall(name, source, events));
  const run = async (event: Event) => {
    event.preventDefault();
    setRunning(true);
    setError(null);
    try {
      const result = await runCanary(name, source, events);
      setReport(result);
      onReport?.(result);
    } catch (failure) {
      setReport(null);
      onReport?.(null);
      setError(failure instanceof ApiError ? failure : new ApiError(0, "unreachable", String(failure)));
    }
    setRunning(false);
  };
  return (
    <div class="stack">
      <form class="actions" onSubmit={(event) => void run(event)}>
        <label for="canary-events">Recent deliveries to compare</label>
        <input
          id="canary-events"
          type="number"
          min={1}
          max={10_000}
          required
          value={events}
          onInput={(event) => setEvents(event.currentTarget.valueAsNumber || 1)}
        />
        <button type="submit" class={report === null ? "primary" : undefined} disabled={isRunning}>
          {isRunning ? "Comparing…" : "Run canary"}
        </button>
        <span class="muted">Without effects</span>
      </form>
      {error !== null && <Problem error={error} />}
      {report !== null && <CanaryReport report={report} other={"file" in source ? "new" : "archived"} />}
    </div>
  );
}

interface ReportProps {
  report: Schemas["CanaryView"];
  /** What the running generation is compared with: a new build, or an archived generation. */
  other: "new" | "archived";
}

/** The result of a canary, side by side. */
function CanaryReport({ report, other }: ReportProps) {
  const { time_us: time, memory_bytes: memory } = report;
  const names = (list: string[]) => (list.length === 0 ? null : list.join(", "));
  return (
    <div class="stack" role="group" aria-label="Result of the canary">
      <Facts
        rows={[
          ["Handled by both", count(report.handled)],
          ["Different", count(report.different)],
          ["Inconclusive", count(report.inconclusive)],
          ["Generations", `${short(report.running)} (running), ${short(report.new)} (${other})`],
          ["Median time", `${micros(time.running)} (running), ${micros(time.new)} (${other})`],
          ["Largest memory", `${bytes(memory.running)} (running), ${bytes(memory.new)} (${other})`],
          [`Subscriptions of the ${other} one only`, names(report.subscriptions_added)],
          ["Subscriptions of the running one only", names(report.subscriptions_removed)],
        ]}
      />
      {report.inconclusive > 0 && (
        <p class="muted">
          Inconclusive results are equal, but a handler read state that has changed since the event was stored.
        </p>
      )}
      <CanaryDifferences report={report} other={other === "new" ? "New" : "Archived"} />
    </div>
  );
}
