import { useId, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { call, urlOf, type ApiError, type Schemas } from "../../api/client";
import { useShownCall } from "../../api/calls";
import { useGet } from "../../api/use";
import { CanaryDifferences } from "../../components/canary_differences";
import { Choice } from "../../components/fields";
import { Empty, Facts, Section } from "../../components/page";
import { Loaded, Problem } from "../../components/problem";
import { pluginsOf } from "../../model/event_state";
import { bytes, count, micros, short } from "../../model/format";
import { timeText, utc } from "../../model/time";

interface Props {
  event: Schemas["EventDocument"];
  deliveries: Schemas["TreeDeliveryView"][];
}

/** Runs an event through the running generation and another one of a plugin that consumed it. */
export function Canary({ event, deliveries }: Props) {
  const plugins = pluginsOf(deliveries);
  const [chosen, setChosen] = useState<string | null>(null);
  const name = chosen ?? plugins[0];
  return (
    <Section title="Run against another generation">
      {name === undefined ? (
        <Empty title="No plugin has consumed this event." />
      ) : (
        <>
          <Choice label="Plugin" value={name} choices={plugins} set={setChosen} />
          <Generations key={name} name={name} event={event} />
        </>
      )}
    </Section>
  );
}

function Generations({ name, event }: { name: string; event: Schemas["EventDocument"] }) {
  const plugin = useGet("/v1/plugins/{name}", { params: { path: { name } } }, { refresh: 0 });
  return (
    <Loaded of={plugin}>
      {({ digest, generations }) => {
        const others = generations.filter((generation) => generation.digest !== digest).reverse();
        if (others.length === 0) {
          return (
            <Empty title={`The host has kept no other generation of ${name}.`}>
              <Link href={`/plugins/${encodeURIComponent(name)}`}>Its page</Link> compares a new build before it runs.
            </Empty>
          );
        }
        return <Form name={name} event={event} generations={others} />;
      }}
    </Loaded>
  );
}

function Form(props: { name: string; event: Schemas["EventDocument"]; generations: Schemas["GenerationView"][] }) {
  const { name, event, generations } = props;
  const id = useId();
  const [digest, setDigest] = useState(generations[0]?.digest ?? "");
  const [isRunning, setRunning] = useState(false);
  const [result, setResult] = useState<{ data: Schemas["CanaryView"] } | { error: ApiError } | null>(null);
  const init = { params: { path: { name }, query: { event: event.id, source: event.source, generation: digest } } };
  useShownCall(`POST ${urlOf("/v1/plugins/{name}/canary", init)}`);
  const run = async (submit: Event) => {
    submit.preventDefault();
    setRunning(true);
    try {
      setResult({ data: await call("post", "/v1/plugins/{name}/canary", init) });
    } catch (error) {
      setResult({ error: error as ApiError });
    }
    setRunning(false);
  };
  return (
    <>
      <form class="form-line" onSubmit={(submit) => void run(submit)}>
        <div class="field">
          <label for={id}>Generation</label>
          <select id={id} value={digest} onInput={(change) => setDigest(change.currentTarget.value)}>
            {generations.map((generation) => (
              <option key={generation.digest} value={generation.digest}>
                {`${generation.version}, ${short(generation.digest)}, ran since ${timeText(generation.since, utc.value)}`}
              </option>
            ))}
          </select>
        </div>
        <button type="submit" disabled={isRunning}>
          {isRunning ? "Running…" : "Run without effects"}
        </button>
      </form>
      <p class="muted">
        Runs the event through the running generation and the other one, and compares the results. Nothing is published
        or written.
      </p>
      <div aria-live="polite">
        {result !== null && ("error" in result ? <Problem error={result.error} /> : <Result canary={result.data} />)}
      </div>
    </>
  );
}

function Result({ canary }: { canary: Schemas["CanaryView"] }) {
  const { different, handled, inconclusive, time_us, memory_bytes } = canary;
  return (
    <div class="stack">
      <Facts
        rows={[
          ["Running generation", <code>{short(canary.running)}</code>],
          ["Other generation", <code>{short(canary.new)}</code>],
          ["Deliveries with different results", count(different)],
          ["Deliveries that both handled", count(handled)],
          ["Inconclusive", inconclusive === 0 ? null : `${count(inconclusive)}: a handler read state that has changed`],
          ["Run time", `${micros(time_us.running)} running, ${micros(time_us.new)} other`],
          ["Memory", `${bytes(memory_bytes.running)} running, ${bytes(memory_bytes.new)} other`],
        ]}
      />
      <CanaryDifferences report={canary} other="Other" />
      {different === 0 && <p>Both generations have the same result.</p>}
    </div>
  );
}
