import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Action } from "../../components/action";
import { Copy } from "../../components/copy";
import { Empty, Facts, Page, Section } from "../../components/page";
import { Payload } from "../../components/payload";
import { Loaded } from "../../components/problem";
import { Time } from "../../components/time";
import { letterPlanOf } from "../../model/dead_letters";
import { causePath, eventPath } from "../../model/event_paths";
import { count, short } from "../../model/format";
import { subscriptionPath } from "../../model/paths";
import { confirmDrop, confirmRedrive } from "./changes";
import { EditedRedrive } from "./edited_redrive";
import { LastRedrive } from "./last_redrive";
import "./dead_letters.css";

type Letter = Schemas["DeadLetterView"];

/** A delivery that is no longer attempted: its event, and why each attempt failed. */
export default function DeadLetter({ number }: { number: number }) {
  const { data, error } = useGet("/v1/dead-letters/{number}", { params: { path: { number } } });
  const [isEditing, setEditing] = useState(false);
  const isGone = error?.status === 404;
  return (
    <Page
      title={`Dead letter ${number}`}
      context={
        <>
          <Link href="/dead-letters">Dead letters</Link>
          {data !== undefined && (
            <>
              {" / "}
              <Link href={`/dead-letters?group=${number}`}>Its group</Link>
            </>
          )}
        </>
      }
      actions={data !== undefined && !isGone && <Actions letter={data} edit={() => setEditing(true)} />}
    >
      {isGone && <Gone number={number} event={data?.logged.event.id} />}
      <LastRedrive subscription={data?.subscription} />
      {!isGone && (
        <Loaded of={{ data, error }}>
          {(letter) => (
            <>
              {isEditing && <EditedRedrive letter={letter} close={() => setEditing(false)} />}
              <Summary letter={letter} />
              <Reason letter={letter} />
              <History attempts={letter.history} />
              <EventOf letter={letter} />
            </>
          )}
        </Loaded>
      )}
    </Page>
  );
}

function Gone({ number, event }: { number: number; event: string | undefined }) {
  return (
    <Empty title={`Dead letter ${number} no longer exists.`}>
      It was redriven or dropped.
      {event !== undefined && (
        <>
          {" "}
          See what has become of it: <Link href={eventPath(event)}>the event</Link> and{" "}
          <Link href={causePath(event)}>its cause tree</Link>.
        </>
      )}
    </Empty>
  );
}

function Actions({ letter, edit }: { letter: Letter; edit: () => void }) {
  const plan = letterPlanOf(letter);
  const note = letter.edited !== null && <p>It is delivered with the edited data.</p>;
  return (
    <>
      {may("redrive_dead_letters") && (
        <Action look="primary" act={() => confirmRedrive(plan, note)}>
          Redrive
        </Action>
      )}
      {may("redrive_edited_dead_letter") && <Action act={edit}>Redrive with edited data</Action>}
      {may("drop_dead_letters") && (
        <Action look="danger" act={() => confirmDrop(plan)}>
          Drop
        </Action>
      )}
    </>
  );
}

function Summary({ letter }: { letter: Letter }) {
  const { logged, subscription, parks } = letter;
  const { id, source } = logged.event;
  return (
    <Section title="Summary">
      <Facts
        rows={[
          ["Subscription", <Link href={subscriptionPath(subscription)}>{subscription}</Link>],
          ["Event", <Link href={eventPath(id, source)}>{id}</Link>],
          ["Cause tree", <Link href={causePath(id, source)}>From the first event to the last effect</Link>],
          ["Cause", letter.cause],
          ["Attempts", count(letter.attempts)],
          ["Since", <Time at={letter.dead_lettered_at} />],
          [
            "Parks the ordering key",
            parks === null ? "none" : <><code>{parks}</code>: later events with this key wait</>,
          ],
          ["Replay", letter.replay ? "yes" : "no"],
        ]}
      />
    </Section>
  );
}

function Reason({ letter }: { letter: Letter }) {
  return (
    <Section title="Reason" actions={<Copy text={letter.reason} />}>
      <pre class="code" tabIndex={0} aria-label="Reason of the last failure">
        {letter.reason}
      </pre>
    </Section>
  );
}

function History({ attempts }: { attempts: Letter["history"] }) {
  return (
    <Section title="Attempts">
      {attempts.length === 0 && <p class="muted">The history has no attempts.</p>}
      <ol class="attempts">
        {attempts.map(({ attempt, at, cause, reason, digest }) => (
          <li key={attempt} class="card">
            <details>
              <summary>
                Attempt {attempt}: {cause} <span class="muted">at</span> <Time at={at} />{" "}
                {digest !== null && (
                  <span class="muted">
                    by <code title={digest}>{short(digest)}</code>
                  </span>
                )}
              </summary>
              <pre class="code" tabIndex={0} aria-label={`Reason of attempt ${attempt}`}>
                {reason}
              </pre>
            </details>
          </li>
        ))}
      </ol>
    </Section>
  );
}

function EventOf({ letter }: { letter: Letter }) {
  const { event, position, stored_at } = letter.logged;
  const { data, data_base64, ...attributes } = event;
  return (
    <>
      <Section title="Event">
        <Facts
          rows={[
            ["position", count(position)],
            ["stored", <Time at={stored_at} />],
            ...Object.entries(attributes).map(([name, value]): [string, string] => [name, String(value)]),
          ]}
        />
      </Section>
      {letter.edited !== null && (
        <Section title="Edited data">
          <Payload data={letter.edited.data} base64={letter.edited.data_base64} />
        </Section>
      )}
      <Section title={letter.edited === null ? "Data" : "Original data"}>
        <Payload data={data} base64={data_base64} />
      </Section>
    </>
  );
}
