import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { REFRESH, usePages } from "../../api/use";
import { Action } from "../../components/action";
import { Badge } from "../../components/badge";
import { confirmChange } from "../../components/confirm";
import { notifyFailure } from "../../components/notice";
import { Empty, Facts, Page, Section } from "../../components/page";
import { PlainTable } from "../../components/plain_table";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { loadWords, offsetInZone, timeInZone, type InWords } from "../../model/cron";
import { partsOf } from "../../model/paths";
import { utc, zoneName } from "../../model/time";

type Schedule = Schemas["ScheduleView"];
type Delayed = Schemas["ScheduledView"];

/** The schedules of plugins, and the events that enter the log later. */
export default function Schedules() {
  return (
    <Page title="Schedules">
      <ScheduleList />
      <DelayedEvents />
    </Page>
  );
}

function ScheduleList() {
  const [inWords, setInWords] = useState<InWords | null>(null);
  useEffect(() => {
    // A function as state is set by a function that returns it.
    void loadWords().then((words) => setInWords(() => words), notifyFailure);
  }, []);
  const list = usePages("/v1/schedules", { params: { query: {} } }, (page) => page.schedules, { refresh: REFRESH });
  return (
    <Section title="Schedules of plugins">
      {list.error !== undefined && <Problem error={list.error} />}
      {list.isLoading && <p class="muted">Loading…</p>}
      {!list.isLoading && list.error === undefined && list.items.length === 0 && (
        <Empty title="No plugin declares a schedule.">
          A plugin declares schedules in its code. <Link href="/plugins">Show the plugins</Link>
        </Empty>
      )}
      {list.items.length > 0 && (
        <>
          <ul class="stack">
            {list.items.map((schedule) => (
              <ScheduleCard key={schedule.id} schedule={schedule} inWords={inWords} />
            ))}
          </ul>
        </>
      )}
      {list.hasMore && (
        <button type="button" onClick={list.readMore}>
          Show more
        </button>
      )}
    </Section>
  );
}

/** What the host publishes for times that it has missed. */
const MISSED: Record<string, string> = {
  "run-once": "one event for all of them",
  skip: "none",
  "catch-up": "one event for each",
};

function ScheduleCard({ schedule, inWords }: { schedule: Schedule; inWords: InWords | null }) {
  const { id, cron, timezone, upcoming, paused, missed, type } = schedule;
  const { owner } = partsOf(id);
  const zone = timezone ?? "UTC";
  const words = inWords?.(cron) ?? null;
  return (
    <li>
      <article class="stack schedule" aria-label={id}>
        <header class="actions">
          <h3>{id}</h3>
          {paused && <Badge tone="warn">paused</Badge>}
          {paused && <span class="muted">because its plugin does not run</span>}
        </header>
        <Facts
          rows={[
            ["In words", inWords !== null && words === null ? "not available" : words],
            ["Cron expression", <code>{cron}</code>],
            ["Time zone", zone],
            ["Next", upcoming.length === 0 ? "never" : null],
            ["For missed times", MISSED[missed] === undefined ? missed : `${missed}: ${MISSED[missed]}`],
            ["Event type", <Link href={`/events?type=${encodeURIComponent(type)}`}>{type}</Link>],
            ["Plugin", <Link href={`/plugins/${encodeURIComponent(owner)}`}>{owner}</Link>],
          ]}
        />
        {upcoming.length > 0 && <Upcoming id={id} times={upcoming} zone={zone} />}
      </article>
    </li>
  );
}

/** The next times of a schedule, in its zone and in the reader's. */
function Upcoming({ id, times, zone }: { id: string; times: string[]; zone: string }) {
  return (
    <PlainTable label={`Next times of ${id}`} columns={[`Next times in ${zone}`, "Offset", `In ${zoneName(utc.value)}`]}>
      <tbody>
        {times.map((time) => (
          <tr key={time}>
            <td class="figure">{timeInZone(time, zone) ?? "unknown to the browser"}</td>
            <td class="figure">{offsetInZone(time, zone) ?? ""}</td>
            <td>
              <Time at={time} />
            </td>
          </tr>
        ))}
      </tbody>
    </PlainTable>
  );
}

function DelayedEvents() {
  const [isPaging, setPaging] = useState(false);
  const list = usePages("/v1/scheduled", { params: { query: {} } }, (page) => page.scheduled, {
    refresh: isPaging ? 0 : REFRESH,
  });
  const readMore = () => {
    setPaging(true);
    list.readMore();
  };
  return (
    <Section
      title="Delayed events"
      actions={
        isPaging && (
          <button type="button" class="quiet" onClick={list.reload}>
            Read again
          </button>
        )
      }
    >
      {list.error !== undefined && <Problem error={list.error} />}
      {list.isLoading && <p class="muted">Loading…</p>}
      {!list.isLoading && list.error === undefined && (
        <Table
          label="Delayed events, in the order in which they are due"
          columns={columns()}
          items={list.items}
          keyOf={({ event }) => `${event.source} ${event.id}`}
          onEnd={list.hasMore ? readMore : undefined}
          empty={
            <Empty title="No event is delayed.">
              Handlers and publishers can delay events.{" "}
              {may("publish_events") && <Link href="/publish">Publish one</Link>}
            </Empty>
          }
        />
      )}
    </Section>
  );
}

function columns(): Column<Delayed>[] {
  const shown: Column<Delayed>[] = [
    { title: "Due", width: "12.75rem", cell: ({ due }) => <Time at={due} /> },
    { title: "Type", width: "minmax(6rem, 1fr)", cell: ({ event }) => event.type },
    {
      title: "Id",
      width: "minmax(6rem, 1fr)",
      isSecondary: true,
      cell: ({ event }) => <span title={event.id}>{event.id}</span>,
    },
    { title: "Source", width: "minmax(6rem, 1fr)", isSecondary: true, cell: ({ event }) => event.source },
    { title: "Subject", width: "minmax(5rem, 1fr)", isSecondary: true, cell: ({ event }) => event.subject ?? "" },
  ];
  if (may("cancel_scheduled")) {
    shown.push({
      title: "Action",
      width: "4.5rem",
      cell: (delayed) => (
        <Action look="quiet" act={() => confirmCancel(delayed)} label={`Cancel the event ${delayed.event.id}`}>
          Cancel
        </Action>
      ),
    });
  }
  return shown;
}

function confirmCancel({ due, event }: Delayed): void {
  const { source, id, type } = event;
  confirmChange({
    title: "Cancel the event",
    decline: "Keep the event",
    effect: (
      <>
        Deletes 1 delayed event of the type {type}, which is due at <Time at={due} />. It never enters the log.
      </>
    ),
    call: `DELETE /v1/scheduled?${new URLSearchParams({ source, id })}`,
    isDestructive: true,
    run: async () => {
      await call("delete", "/v1/scheduled", { params: { query: { source, id } } });
      return "The event is cancelled.";
    },
  });
}
