import { useCallback, useEffect, useMemo } from "preact/hooks";
import { Link } from "wouter-preact";
import { may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { useGet, usePages } from "../../api/use";
import { Empty, Page, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { causePath, eventPath } from "../../model/event_paths";
import { count, counted } from "../../model/format";
import { useQuery } from "../../model/query";
import { EventFilters, FILTERS } from "./event_filters";

type EventView = Schemas["EventView"];

/** How many events are read at once. */
const PAGE = 1_000;

/** The log, newest event first. */
export default function Events() {
  const query = useQuery();
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
  const isFiltered = FILTERS.some((name) => query.get(name) !== undefined);
  const pages = usePages("/v1/events", { params: { query: { ...filters, limit: PAGE } } }, (page) => page.events);
  const { items, hasMore, readMore } = pages;
  const newest = useGet("/v1/events", { params: { query: { ...filters, limit: 1 } } });
  const newestPosition = newest.data?.events[0]?.position ?? 0;
  const hasNewer = !pages.isLoading && newestPosition > (items[0]?.position ?? 0);
  const onEnd = useCallback(() => {
    if (hasMore) {
      readMore();
    }
    // Once for each page, because the table calls it each time it is drawn.
  }, [hasMore, pages.pagesRead, JSON.stringify(filters)]);
  useEffect(() => {
    if (items.length === 0) {
      // A page may be empty although more follow.
      onEnd();
    }
  }, [items.length, onEnd]);
  const empty = useMemo(() => <Nothing isFiltered={isFiltered} />, [isFiltered]);
  return (
    <Page title="Events" actions={may("publish_events") && <Link href="/publish" class="button primary">Publish</Link>}>
      <EventFilters />
      {pages.error !== undefined && <Problem error={pages.error} />}
      <Section
        title="The log, newest event first"
        actions={
          hasNewer && (
            <button type="button" onClick={pages.restart}>
              Show newer events
            </button>
          )
        }
      >
        {items.length > 0 && (
          <p class="muted figure">
            {hasMore
              ? `The newest ${counted(items.length, "event")}. Scroll to the end to read more.`
              : items.length === 1
                ? "1 event"
                : `All ${count(items.length)} events`}
          </p>
        )}
        {pages.isLoading || (items.length === 0 && hasMore) ? (
          <p class="muted" role="status">
            Loading…
          </p>
        ) : (
          <Table
            label="Events"
            columns={COLUMNS}
            items={items}
            keyOf={(logged) => logged.position}
            onEnd={onEnd}
            empty={pages.error === undefined && empty}
            height="65vh"
          />
        )}
      </Section>
    </Page>
  );
}

const COLUMNS: Column<EventView>[] = [
  { title: "Position", width: "5.5rem", isFigure: true, isSecondary: true, cell: ({ position }) => count(position) },
  { title: "Stored", width: "minmax(7rem, 11.5rem)", cell: ({ stored_at }) => <Time at={stored_at} short /> },
  {
    title: "Type",
    width: "minmax(8rem, 2fr)",
    cell: ({ event }) => <Link href={eventPath(event.id, event.source)}>{event.type}</Link>,
  },
  { title: "Source", width: "minmax(6rem, 1.5fr)", isSecondary: true, cell: ({ event }) => event.source },
  { title: "Subject", width: "minmax(5rem, 1fr)", isSecondary: true, cell: ({ event }) => event.subject ?? "" },
  { title: "Id", width: "minmax(6rem, 1.5fr)", isSecondary: true, cell: ({ event }) => <code>{event.id}</code> },
  {
    title: "Cause tree",
    width: "5.5rem",
    isSecondary: true,
    cell: ({ event }) => <Link href={causePath(event.id, event.source)}>Show</Link>,
  },
];

function Nothing({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) {
    return (
      <Empty title="No event matches the filter.">
        <Link href="/events">Remove the filter</Link>. Retention may have deleted older events.
      </Empty>
    );
  }
  return (
    <Empty title="The log has no events.">
      Call a route of a plugin{may("publish_events") && <>, or <Link href="/publish">publish an event</Link></>}.
    </Empty>
  );
}
