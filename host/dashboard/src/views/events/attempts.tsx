import { useState } from "preact/hooks";
import { access } from "../../api/access";
import type { Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { AttemptOutcome } from "../../components/outcome";
import { Empty, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Time } from "../../components/time";
import { marksOf } from "../../model/event_state";
import { micros } from "../../model/format";
import { Invocation } from "./invocation";

/** How many attempts are read at first, and how many the API gives at most: without and with responses. */
const FIRST = 50;
const MOST = 1_000;
const MOST_WITH_RESPONSES = 20;

interface Props {
  id: string;
  source: string | undefined;
  /** How often to read them, in milliseconds. */
  refresh: number;
}

/** The recorded attempts at the deliveries of an event, newest first. */
export function Attempts({ id, source, refresh }: Props) {
  const [limit, setLimit] = useState(FIRST);
  const [showsResponses, setShowsResponses] = useState(false);
  const query = showsResponses
    ? { event: id, source, limit: MOST_WITH_RESPONSES, exchanges: true }
    : { event: id, source, limit };
  const attempts = useGet("/v1/attempts", { params: { query } }, { refresh: showsResponses ? 0 : refresh });
  const hasCalls = attempts.data?.attempts.some(({ calls }) => calls.length > 0) ?? false;
  const toggle = hasCalls && access.value?.hide_payloads === false && (
    <button type="button" aria-pressed={showsResponses} onClick={() => setShowsResponses(!showsResponses)}>
      Show recorded responses
    </button>
  );
  return (
    <Section title="Attempts, newest first" actions={toggle}>
      <Loaded of={attempts}>
        {({ attempts: list, next }) => (
          <>
            {list.length === 0 && (
              <Empty title="No attempt is recorded.">
                The ledger may record only a sample of the successes. <code>[ledger]</code> in the configuration decides.
              </Empty>
            )}
            {list.map((attempt, index) => (
              <Attempt key={keyOf(attempt)} attempt={attempt} isOpen={index === 0} />
            ))}
            {next !== null && !showsResponses && limit < MOST && (
              <button type="button" onClick={() => setLimit(limit === FIRST ? 4 * FIRST : MOST)}>
                Show older attempts
              </button>
            )}
            {next !== null && (showsResponses || limit >= MOST) && (
              <p class="muted">Older attempts are not shown. The API has them, by page.</p>
            )}
          </>
        )}
      </Loaded>
    </Section>
  );
}

function keyOf({ subscription, attempt, replay, redriven_at, at }: Schemas["RecordedAttemptView"]): string {
  return `${subscription} ${attempt} ${replay} ${redriven_at} ${at}`;
}

function Attempt({ attempt, isOpen }: { attempt: Schemas["RecordedAttemptView"]; isOpen: boolean }) {
  const [open, setOpen] = useState(isOpen);
  return (
    <details class="attempt" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <AttemptOutcome attempt={attempt} />{" "}
        <span>
          {attempt.subscription} attempt {attempt.attempt}
        </span>{" "}
        <span class="muted">
          {[...marksOf(attempt), `queued ${micros(attempt.queued_us)}, ran ${micros(attempt.took_us)}`].join(" · ")}
        </span>{" "}
        <Time at={attempt.at} short />
      </summary>
      {open && <Invocation attempt={attempt} />}
    </details>
  );
}
