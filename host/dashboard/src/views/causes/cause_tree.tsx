import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import type { Schemas } from "../../api/client";
import { REFRESH, useGet } from "../../api/use";
import { Badge } from "../../components/badge";
import { Page, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { causePath, eventPath, followPath } from "../../model/event_paths";
import { isTreeOpen, remarksOf } from "../../model/event_state";
import { counted } from "../../model/format";
import { useQuery } from "../../model/query";
import { timeText, utc } from "../../model/time";
import { useEvents } from "../events/use_events";
import { Waterfall } from "./waterfall";

/** How many events are read: at first, then if the reader asks for more. The last one is the API's limit. */
const LIMITS = [200, 1_000, 10_000];

/** What an event or a request led to, as a waterfall. */
export default function CauseTree({ id }: { id: string }) {
  const source = useQuery().get("source");
  const [step, setStep] = useState(0);
  const [refresh, setRefresh] = useState(REFRESH);
  const query = { source, limit: LIMITS[step] };
  const tree = useGet("/v1/cause-trees/{id}", { params: { path: { id }, query } }, { refresh });
  const isOpen = tree.data !== undefined && isTreeOpen(tree.data);
  useEffect(() => {
    // Records may arrive shortly after everything has ended, and a redrive may begin.
    setRefresh(isOpen || tree.data === undefined ? REFRESH : 5 * REFRESH);
  }, [isOpen, tree.data === undefined]);
  const correlation = tree.data?.correlations[0];
  return (
    <Page
      title="Cause tree"
      context={
        <>
          <Link href="/events">Events</Link> · <code>{id}</code>
        </>
      }
      actions={
        <>
          <Link class="button" href={eventPath(id, source)}>
            Show the event
          </Link>
          {correlation !== undefined && (
            <Link class="button" href={followPath(correlation)}>
              Follow live
            </Link>
          )}
        </>
      }
    >
      {tree.error?.code === "ambiguous-id" ? (
        <Sources id={id} />
      ) : (
        <Section title="From the first cause to the last effect">
          <Loaded of={tree}>
            {(data) => (
              <>
                <Summary tree={data} isOpen={isOpen} />
                <Waterfall key={id} tree={data} id={id} />
                {data.omitted > 0 && step < LIMITS.length - 1 && (
                  <button type="button" onClick={() => setStep(step + 1)}>
                    Show more events
                  </button>
                )}
              </>
            )}
          </Loaded>
        </Section>
      )}
    </Page>
  );
}

function Summary({ tree, isOpen }: { tree: Schemas["CauseTreeView"]; isOpen: boolean }) {
  const deliveries = tree.events.flatMap((event) => event.deliveries);
  const dead = deliveries.filter(({ outcome }) => outcome === "dead-letter").length;
  return (
    <>
      <p class="actions" role="status">
        <Badge tone={isOpen ? "info" : dead > 0 ? "bad" : "good"}>
          {isOpen ? "not everything has ended" : dead > 0 ? "ended with dead letters" : "everything has ended"}
        </Badge>
        {tree.requests.length > 0 && <span>{counted(tree.requests.length, "request")}</span>}
        <span>{counted(tree.events.length, "event")}</span>
        <span>{counted(deliveries.length, "delivery", "deliveries")}</span>
        {dead > 0 && <span>{counted(dead, "dead letter")}</span>}
        {tree.delayed.length > 0 && <span>{counted(tree.delayed.length, "delayed event")}</span>}
      </p>
      {remarksOf(tree, (time) => timeText(time, utc.value)).map((remark) => (
        <p key={remark} class="muted">
          {remark}
        </p>
      ))}
    </>
  );
}

/** Several events have the id, so the reader chooses one. */
function Sources({ id }: { id: string }) {
  const events = useEvents(id);
  return (
    <Section title="Several events have this id">
      <Loaded of={events}>
        {(all) => (
          <ul class="stack">
            {all.map(({ event, position }) => (
              <li key={position}>
                <Link href={causePath(id, event.source)}>
                  {event.type} from {event.source}
                </Link>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Section>
  );
}
