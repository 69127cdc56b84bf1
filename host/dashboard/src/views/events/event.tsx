import { Link } from "wouter-preact";
import { may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { REFRESH, useGet } from "../../api/use";
import { Empty, Facts, Page, Section } from "../../components/page";
import { Payload } from "../../components/payload";
import { Loaded } from "../../components/problem";
import { Time } from "../../components/time";
import { causePath, eventPath, followPath } from "../../model/event_paths";
import { isOpen } from "../../model/event_state";
import { count, counted } from "../../model/format";
import { useQuery } from "../../model/query";
import { Attempts } from "./attempts";
import { Canary } from "./canary";
import { Deliveries } from "./deliveries";
import { Copies } from "./copies";
import { Replay } from "./replay";
import { useEvents } from "./use_events";
import "./event.css";

type EventView = Schemas["EventView"];

/** The events with an id. Each source may use the id. */
export default function EventPage({ id }: { id: string }) {
  const events = useEvents(id);
  const source = useQuery().get("source");
  const all = events.data ?? [];
  const shown = source === undefined ? all[0] : all.find(({ event }) => event.source === source);
  if (events.error?.status === 404 || (events.data !== undefined && shown === undefined)) {
    return <Missing id={id} source={source} />;
  }
  if (shown === undefined) {
    return (
      <Page title={`Event ${id}`} context={<Link href="/events">Events</Link>}>
        <Loaded of={{ data: undefined, error: events.error }}>{() => null}</Loaded>
      </Page>
    );
  }
  return <OneEvent key={shown.position} logged={shown} all={all} />;
}

function Missing({ id, source }: { id: string; source: string | undefined }) {
  return (
    <Page title={`Event ${id}`} context={<Link href="/events">Events</Link>}>
      <Empty title="The log has no such event.">
        Retention may have deleted it, or it is delayed. The <Link href={causePath(id, source)}>cause tree</Link> shows
        what the ledger still has of it. <Link href="/schedules">Schedules</Link> lists delayed events.
      </Empty>
      <Attempts id={id} source={source} refresh={0} />
    </Page>
  );
}

function OneEvent({ logged, all }: { logged: EventView; all: EventView[] }) {
  const { event, position } = logged;
  const path = { id: event.id };
  const tree = useGet("/v1/cause-trees/{id}", { params: { path, query: { source: event.source, limit: 1 } } });
  const own = tree.data?.events.find((other) => other.id === event.id && other.source === event.source);
  const refresh = own === undefined || own.deliveries.some(isOpen) ? REFRESH : 5 * REFRESH;
  return (
    <Page
      title={event.type}
      context={
        <>
          <Link href="/events">Events</Link> · <code>{event.id}</code>
        </>
      }
      actions={<Actions logged={logged} />}
    >
      {all.length > 1 && <SameId logged={logged} all={all} />}
      <Section title="Attributes">
        <Attributes logged={logged} />
      </Section>
      <Section title="Payload">
        <Payload data={event.data} base64={event.data_base64} />
      </Section>
      <Deliveries tree={tree} own={own} position={position} />
      <Attempts id={event.id} source={event.source} refresh={refresh} />
      {may("start_replay") && <Replay logged={logged} />}
      {may("run_canary") && <Canary event={event} deliveries={own?.deliveries ?? []} />}
      <Copies logged={logged} deliveries={own?.deliveries ?? []} />
    </Page>
  );
}

function Actions({ logged }: { logged: EventView }) {
  const { event } = logged;
  const correlation = attributeOf(event, "correlationid") ?? event.id;
  return (
    <>
      <Link class="button primary" href={causePath(event.id, event.source)}>
        Show the cause tree
      </Link>
      <Link class="button" href={followPath(correlation)}>
        Follow live
      </Link>
      {may("publish_events") && (
        <Link class="button" href={`/publish?${new URLSearchParams({ template: event.id, source: event.source })}`}>
          Publish a similar event
        </Link>
      )}
    </>
  );
}

function SameId({ logged, all }: { logged: EventView; all: EventView[] }) {
  return (
    <div class="card">
      <p>{counted(all.length, "event")} of different sources have this id:</p>
      <ul>
        {all.map(({ event, position }) => (
          <li key={position}>
            {position === logged.position ? (
              <strong>{event.source} (shown)</strong>
            ) : (
              <Link href={eventPath(event.id, event.source)}>{event.source}</Link>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

const NAMED = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];
const ORIGIN = ["causationid", "causationsource", "correlationid", "hops"];

function Attributes({ logged }: { logged: EventView }) {
  const { event, position, stored_at } = logged;
  const causation = attributeOf(event, "causationid");
  const correlation = attributeOf(event, "correlationid");
  const others = Object.entries(event)
    .filter(([name]) => ![...NAMED, ...ORIGIN, "data", "data_base64"].includes(name))
    .map(([name, value]): [string, string] => [name, String(value)]);
  return (
    <Facts
      rows={[
        ["Id", <code>{event.id}</code>],
        ["Source", event.source],
        ["Type", event.type],
        ["Subject", event.subject],
        ["Time", event.time === undefined ? null : <Time at={event.time} />],
        ["Stored", <Time at={stored_at} />],
        ["Position", <span class="figure">{count(position)}</span>],
        ["Content type", event.datacontenttype],
        ["Data schema", event.dataschema],
        [
          "Caused by",
          causation === undefined ? null : (
            <Link href={eventPath(causation, attributeOf(event, "causationsource"))}>{causation}</Link>
          ),
        ],
        ["Correlation id", correlation === undefined ? null : <code>{correlation}</code>],
        ["Hops", attributeOf(event, "hops")],
        ...others,
      ]}
    />
  );
}

function attributeOf(event: Schemas["EventDocument"], name: string): string | undefined {
  const value = (event as Record<string, unknown>)[name];
  return value === undefined || value === null ? undefined : String(value);
}
