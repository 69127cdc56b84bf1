import { useMemo } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { Copy } from "../../components/copy";
import { Section } from "../../components/page";
import { curlOf, isReservedType, newId, publishable, scenarioOf } from "../../model/event_copies";
import { pluginsOf } from "../../model/event_state";
import { useIngress } from "../../model/ingress";

interface Props {
  logged: Schemas["EventView"];
  deliveries: Schemas["TreeDeliveryView"][];
}

/** An event as a command, and as a scenario. */
export function Copies({ logged, deliveries }: Props) {
  const { event } = logged;
  return (
    <Section title="Copy">
      <Curl event={event} />
      <Scenario logged={logged} deliveries={deliveries} />
    </Section>
  );
}

function Curl({ event }: { event: Schemas["EventDocument"] }) {
  const ingress = useIngress();
  const id = useMemo(newId, [event]);
  if (isReservedType(event.type)) {
    return (
      <p class="muted">
        There is no curl command, because only the host publishes events of the type {event.type}. Replay it instead.
      </p>
    );
  }
  const copy = publishable(event, id);
  const command = curlOf(copy, ingress.url, ingress.needsToken);
  return (
    <div class="stack">
      <div class="actions">
        <h3>Command</h3>
        <Copy text={command} label="Copy as curl" />
      </div>
      <details>
        <summary>Show the command</summary>
        <pre class="code" tabIndex={0} aria-label="Command">
          {command}
        </pre>
      </details>
      <p class="muted">
        The copy has another id, because the host drops an event whose source and id it knows.
        {copy.source !== event.source && " It has another source, because sources of plugins are reserved."}
        {ingress.isUnknown && " Replace HOST:PORT with the address of the ingress, which the host chose when it started."}
        {!ingress.acceptsEvents && " The ingress accepts events from the producers in [ingress] of sandbus.toml only."}
      </p>
    </div>
  );
}

function Scenario({ logged, deliveries }: Props) {
  const { event, stored_at } = logged;
  const copy = scenarioOf(event, { plugins: pluginsOf(deliveries), storedAt: stored_at, outcome: onlyOutcome(deliveries) });
  const record = `sandbus test --record ${event.id} --output tests/recorded.toml`;
  if (copy === null) {
    return (
      <p class="muted">
        Binary data of a scenario must be in a file. This command writes both files: <code>{record}</code>
      </p>
    );
  }
  return (
    <div class="stack">
      <div class="actions">
        <h3>Scenario for sandbus test</h3>
        <Copy text={copy.text} label="Copy as a scenario" />
      </div>
      <details>
        <summary>Show the scenario</summary>
        <pre class="code" tabIndex={0} aria-label="Scenario">
          {copy.text}
        </pre>
      </details>
      <p class="muted">
        {copy.format === "JSON" && "TOML cannot express the data, so the scenario is in JSON. "}
        Save it as tests/NAME.{copy.format.toLowerCase()} next to the plugin. It does not set the state of plugins and
        their configuration. <code>{record}</code> also records the events that followed, and the responses of other
        services.
      </p>
    </div>
  );
}

/** The outcome of the only attempt; null if there is none or several, or if events that it published led to more. */
function onlyOutcome(deliveries: Schemas["TreeDeliveryView"][]): string | null {
  const attempts = deliveries.flatMap((delivery) => delivery.attempts);
  const [only] = attempts;
  if (only === undefined || attempts.length > 1 || deliveries.length > 1 || only.published.length > 0) {
    return null;
  }
  return only.cause ?? "ack";
}
