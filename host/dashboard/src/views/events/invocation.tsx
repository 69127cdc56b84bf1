import { Link } from "wouter-preact";
import type { Schemas } from "../../api/client";
import { Facts } from "../../components/page";
import { Payload } from "../../components/payload";
import { Time } from "../../components/time";
import { eventPath } from "../../model/event_paths";
import { bytes, count, counted, micros, short } from "../../model/format";
import { partsOf } from "../../model/paths";

type Attempt = Schemas["RecordedAttemptView"];
type Usage = Schemas["InvocationUsageView"];

/** What an attempt used and did. */
export function Invocation({ attempt }: { attempt: Attempt }) {
  return (
    <div class="stack">
      <Facts
        rows={[
          ["Ended", <Time at={attempt.at} />],
          ["Verdict", attempt.verdict],
          ["Cause", attempt.cause],
          ["Next attempt", attempt.retry_at === null ? null : <Time at={attempt.retry_at} />],
          ["Queued for permits and a thread", micros(attempt.queued_us)],
          ["Run time", micros(attempt.took_us)],
          ["Processor time", micros(attempt.cpu_us)],
          ["Peak memory", bytes(attempt.memory_bytes)],
          ["Component", attempt.digest === null ? null : <code title={attempt.digest}>{short(attempt.digest)}</code>],
          ["Replay", attempt.replay],
          ["Redriven", attempt.redriven_at === null ? null : <Time at={attempt.redriven_at} />],
          ["Data", attempt.edited ? "edited by an operator" : null],
        ]}
      />
      {attempt.reason !== null && (
        <Part title="Reason">
          <pre class="code" tabIndex={0} aria-label="Reason">
            {attempt.reason}
          </pre>
        </Part>
      )}
      <UsageParts usage={attempt} publisher={partsOf(attempt.subscription).owner} />
    </div>
  );
}

/** What a handler logged, wrote, published and called. `publisher` is its plugin. */
export function UsageParts({ usage, publisher }: { usage: Usage; publisher: string | undefined }) {
  // Hosts of earlier versions record no log lines.
  const log = usage.log ?? [];
  const omitted = usage.log_lines_omitted ?? 0;
  return (
    <>
      {log.length + omitted > 0 && (
        <Part title="Log">
          <pre class="code" tabIndex={0} aria-label="Log">
            {log.map(({ level, message }) => `${level} ${message}\n`)}
            {omitted > 0 && `${counted(omitted, "more line")} not recorded`}
          </pre>
        </Part>
      )}
      {usage.state_keys.length > 0 && (
        <Part title="State keys written">
          <ul class="names">
            {usage.state_keys.map((key) => (
              <li key={key}>
                <code>{key}</code>
              </li>
            ))}
          </ul>
        </Part>
      )}
      {usage.published.length > 0 && (
        <Part title="Published events">
          <Published usage={usage} publisher={publisher} />
        </Part>
      )}
      {usage.names_omitted > 0 && <p class="muted">{counted(usage.names_omitted, "further event or key", "further events and keys")} not recorded.</p>}
      {usage.calls.length + usage.calls_omitted > 0 && (
        <Part title="HTTP requests">
          <ul class="names">
            {usage.calls.map((call, index) => (
              <Call key={index} call={call} />
            ))}
          </ul>
          {usage.calls_omitted > 0 && <p class="muted">{count(usage.calls_omitted)} further ones not recorded.</p>}
        </Part>
      )}
    </>
  );
}

function Part({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <h3>{title}</h3>
      {children}
    </div>
  );
}

function Published({ usage, publisher }: { usage: Usage; publisher: string | undefined }) {
  return (
    <ul class="names">
      {usage.published.map(({ id, event_type, due }) => (
        <li key={id}>
          <Link href={eventPath(id, publisher === undefined ? undefined : `/plugins/${publisher}`)}>{event_type}</Link>{" "}
          <code class="muted">{id}</code>
          {due !== null && (
            <>
              , delayed until <Time at={due} />
            </>
          )}
        </li>
      ))}
    </ul>
  );
}

function Call({ call }: { call: Schemas["CallView"] }) {
  const { exchange } = call;
  return (
    <li>
      {call.method} {exchange?.url ?? call.host} → {call.status ?? "no response"} in {micros(call.took_us)}
      {call.error !== null && <pre class="code">{call.error}</pre>}
      {exchange !== null && exchange !== undefined && (
        <details>
          <summary>Response, {exchange.body_end}</summary>
          <pre class="code" tabIndex={0} aria-label="Headers">
            {exchange.headers.map(({ name, value }) => `${name}: ${value}\n`)}
          </pre>
          <Payload data={exchange.body} base64={exchange.body_base64} />
        </details>
      )}
    </li>
  );
}
