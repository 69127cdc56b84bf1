import { Link } from "wouter-preact";
import { access, may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Badge } from "../../components/badge";
import { confirmChange } from "../../components/confirm";
import { Empty, Section } from "../../components/page";
import { PlainTable } from "../../components/plain_table";
import { Time } from "../../components/time";
import { count, percent, short } from "../../model/format";
import { MINUTE } from "../../model/minutes";
import { errorsIn, spansOf, type GenerationSpans, type Span } from "../../model/plugin_generations";
import { useQuery } from "../../model/query";
import { Canary } from "./canary";
import { CapabilityDiff } from "./capability_diff";

type Plugin = Schemas["PluginView"];

/** The most entries of a page of minutes. */
const LIMIT = 20_000;

const COLUMNS = [
  "Generation",
  "Version",
  "Started",
  "Failures in its first hour",
  "Failures in its last hour",
  "Actions",
];

/** The archived generations of a plugin, with their errors around each swap. */
export function Generations({ name, plugin }: { name: string; plugin: Plugin }) {
  const query = useQuery();
  const compared = query.get("compare");
  const spans = spansOf(plugin.generations, Date.now());
  if (spans.length === 0) {
    return <Empty title="The host keeps no generations of this plugin." />;
  }
  const isArchived = plugin.generations.some((generation) => generation.digest === compared);
  return (
    <>
      <Section title="Generations">
        <PlainTable label="Generations" columns={COLUMNS}>
          <tbody>
            {spans.map((span) => (
              <Row key={span.generation.digest} name={name} plugin={plugin} spans={span} onCompare={(digest) => query.set({ compare: digest })} />
            ))}
          </tbody>
        </PlainTable>
        <p class="muted">
          Failures are attempts that were retried or became dead letters, and requests with a status from 500, in whole
          minutes in which only this generation ran. The counts are complete, as far as the ledger reaches back.
        </p>
      </Section>
      <CapabilityDiff generations={plugin.generations} />
      {compared !== undefined && isArchived && may("run_canary") && (
        <Section title={`Canary of ${short(compared)}`}>
          <Canary key={compared} name={name} source={{ generation: compared }} />
        </Section>
      )}
    </>
  );
}

interface RowProps {
  name: string;
  plugin: Plugin;
  spans: GenerationSpans;
  onCompare: (digest: string) => void;
}

function Row({ name, plugin, spans: { generation, first, last }, onCompare }: RowProps) {
  const { digest, version, since } = generation;
  const isRunning = digest === plugin.digest;
  const isFileInFolder = digest === plugin.rolled_back?.passed_over;
  const swap = Date.parse(since);
  const around = { from: new Date(swap - 30 * MINUTE).toISOString(), to: new Date(swap + 30 * MINUTE).toISOString() };
  return (
    <tr>
      <th scope="row">
        <code title={digest}>{short(digest)}</code> {isRunning && <Badge tone="good">running</Badge>}
        {generation.rolled_back_from && <Badge tone="warn">rolled back from</Badge>}
        {isFileInFolder && <Badge>in the folder</Badge>}
      </th>
      <td>{version}</td>
      <td>
        <Time at={since} />
      </td>
      <td>
        <Failures name={name} span={first} />
      </td>
      <td>
        <Failures name={name} span={last} />
      </td>
      <td>
        <span class="actions">
          {access.value?.plugin === null && (
            <Link href={`/?${new URLSearchParams({ plugin: name, ...around })}`}>Charts of the swap</Link>
          )}
          {!isRunning && plugin.digest !== null && may("run_canary") && (
            <button type="button" class="quiet" onClick={() => onCompare(digest)}>
              Compare
            </button>
          )}
          {!isRunning && may("roll_back_plugin") && (
            <button type="button" class="quiet" onClick={() => confirmRollback(name, plugin, generation)}>
              {isFileInFolder ? "Undo rollback" : "Roll back"}
            </button>
          )}
        </span>
      </td>
    </tr>
  );
}

function Failures({ name, span }: { name: string; span: Span | null }) {
  const query = {
    plugin: name,
    since: new Date(span?.from ?? 0).toISOString(),
    until: new Date((span?.to ?? MINUTE) - MINUTE).toISOString(),
    limit: LIMIT,
  };
  const minutes = useGet(span === null ? null : "/v1/statistics/minutes", { params: { query } }, { refresh: 10_000 });
  if (span === null) {
    return <span class="muted">no whole minute yet</span>;
  }
  if (minutes.error !== undefined) {
    return <span title={minutes.error.message}>{minutes.error.code}</span>;
  }
  if (minutes.data === undefined) {
    return <span class="muted">Loading…</span>;
  }
  if (minutes.data.next !== null) {
    return <span class="muted">too many entries</span>;
  }
  const { failures, total } = errorsIn(minutes.data.minutes);
  if (total === 0) {
    return <span class="muted">no attempts or requests</span>;
  }
  return (
    <span class="figure plugin-figure">
      {count(failures)} of {count(total)} ({percent(failures, total)})
    </span>
  );
}

function confirmRollback(name: string, plugin: Plugin, generation: Schemas["GenerationView"]) {
  const { digest, version } = generation;
  const isFileInFolder = digest === plugin.rolled_back?.passed_over;
  const end = isFileInFolder ? "It is the file in the plugin folder." : "It runs until the file in the plugin folder changes.";
  const current = plugin.digest === null ? "" : ` instead of ${short(plugin.digest)} (version ${plugin.version})`;
  confirmChange({
    title: isFileInFolder ? "Undo rollback" : `Roll back ${name}`,
    effect: `Runs generation ${short(digest)} (version ${version})${current}. ${end}`,
    call: `POST /v1/plugins/${encodeURIComponent(name)}/rollback?to=${digest}`,
    run: async () => {
      const params = { path: { name }, query: { to: digest } };
      const result = await call("post", "/v1/plugins/{name}/rollback", { params });
      return `${name} runs generation ${short(result.to)}, version ${result.version}.`;
    },
  });
}
