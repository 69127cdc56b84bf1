import { access } from "../../api/access";
import { Chart, type Line } from "../../components/chart";
import { Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { count, counted, micros, seconds } from "../../model/format";
import { isIdle, isSelected, seriesOf, type Percentiles, type Selection, type Series } from "../../model/minutes";
import { zoomed } from "../../model/overview_range";
import { useQuery } from "../../model/query";
import { Idle } from "./idle";
import { RangeChoice } from "./range_choice";
import { SubjectChoice } from "./subject_choice";
import type { Health } from "./use_facts";
import { useLag, type LagSample } from "./use_lag";
import { useMinutes } from "./use_minutes";

/** How many samples of the lag make a line. */
const LAG_SAMPLES = 5;

/** What the host did over time: all of it, or one plugin or subscription. */
export function Charts({ health }: { health: Health }) {
  const query = useQuery();
  const selection: Selection = {
    plugin: query.get("plugin"),
    isRoutes: query.get("routes") === "true",
    subscription: query.get("subscription"),
  };
  const { subscription } = selection;
  // A token for one plugin must name it.
  const plugin = selection.plugin ?? (subscription === undefined ? (access.value?.plugin ?? undefined) : undefined);
  const time = { range: query.get("range"), from: query.get("from"), to: query.get("to") };
  const { range, minutes, error, isTruncated } = useMinutes({ plugin, subscription, ...time });
  const lag = useLag(health.facts.subscriptions);
  const zoom = (from: number, to: number) => query.set(zoomed(from, to));
  const series = minutes && seriesOf(minutes, selection, range.from, range.to);
  return (
    <Section title="Over time">
      <div class="overview-controls">
        <SubjectChoice facts={health.facts} selection={selection} onChange={query.set} />
        <RangeChoice range={range} onChange={query.set} />
      </div>
      {error !== undefined && <Problem error={error} />}
      {series === undefined && error === undefined && (
        <p class="muted" role="status">
          Loading…
        </p>
      )}
      {series !== undefined && (
        <>
          {isTruncated && <p class="muted">Only the first 100,000 entries of this range are shown. Choose a shorter range.</p>}
          {isIdle(series) ? (
            <Idle facts={health.facts} />
          ) : (
            <>
              <Figures series={series} selection={selection} lag={lag} onZoom={zoom} />
              <Notes series={series} />
            </>
          )}
        </>
      )}
    </Section>
  );
}

interface FiguresProps {
  series: Series;
  selection: Selection;
  lag: LagSample[];
  onZoom: (from: number, to: number) => void;
}

function Figures({ series, selection, lag, onZoom }: FiguresProps) {
  const { times, subjects } = series;
  const slowest = subjects > 1 ? `, slowest of ${subjects}` : "";
  const counts = { times, format: count, onZoom };
  const durations = { times, format: micros, onZoom };
  return (
    <div class="overview-charts">
      <Chart {...counts} title="Throughput per minute" lines={endings(series, ["succeeded", "retried", "failed"])} />
      <Chart {...counts} title="Errors per minute" lines={endings(series, ["retried", "failed"])} />
      <Chart {...durations} title={`Run time${slowest}`} lines={percentileLines(series.run)} />
      <Chart {...durations} title={`Wait${slowest}`} lines={percentileLines(series.wait)} />
      <Chart {...durations} title={`Total latency${slowest}`} lines={percentileLines(series.latency)} />
      {selection.isRoutes !== true && (
        <>
          <Chart
            {...counts}
            title="Backlog at the end of the minute"
            lines={[{ label: "backlog", color: "--line-1", values: series.backlog }]}
          />
          {lag.length > LAG_SAMPLES && (
            <Chart
              title="Lag since this page was opened"
              times={lag.map((sample) => sample.at)}
              lines={[{ label: "lag", color: "--line-1", values: lag.map((sample) => lagOf(sample, selection)) }]}
              format={seconds}
            />
          )}
        </>
      )}
    </div>
  );
}

function Notes({ series }: { series: Series }) {
  return (
    <p class="muted">
      Charts show only minutes that have ended. Drag in a chart to zoom.
      {series.subjects > 1 &&
        ` Percentiles of several subjects cannot be combined: each value is the largest of ${counted(series.subjects, "subject")} in that minute.`}{" "}
      The host keeps no history of the lag.
    </p>
  );
}

const ENDINGS = { succeeded: "--line-3", retried: "--line-4", failed: "--line-2" };

function endings(series: Series, names: (keyof typeof ENDINGS)[]): Line[] {
  return names.map((name) => ({ label: name, color: ENDINGS[name], values: series[name] }));
}

function percentileLines(percentiles: Percentiles): Line[] {
  return [
    { label: "p50", color: "--line-3", values: percentiles.p50 },
    { label: "p95", color: "--line-1", values: percentiles.p95 },
    { label: "p99", color: "--line-2", values: percentiles.p99 },
  ];
}

/** The age of the oldest delivery of the selected subscriptions, in seconds. */
function lagOf(sample: LagSample, selection: Selection): number {
  const selected = sample.lags.filter((entry) => isSelected(entry, selection));
  return selected.reduce((largest, entry) => Math.max(largest, entry.lag), 0);
}
