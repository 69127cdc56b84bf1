import { useEffect, useMemo, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { access, may } from "../../api/access";
import { Empty, Page, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { causePath } from "../../model/event_paths";
import { count, counted } from "../../model/format";
import { hasText, samplingText } from "../../model/live";
import { useQuery } from "../../model/query";
import { LiveFilters } from "./filters";
import { LiveTable } from "./live_table";
import { useStream, type Picture, type Stream } from "./use_stream";
import "./live.css";

/** Attempts and requests as they end. */
export default function Live() {
  const query = useQuery();
  const correlation = query.get("correlation");
  const text = query.get("text");
  const subscription = query.get("subscription");
  // A token of one plugin must name it.
  const only = subscription === undefined ? (access.value?.plugin ?? undefined) : undefined;
  const stream = useStream(
    {
      plugin: query.get("plugin") ?? only,
      subscription,
      type: query.get("type"),
      failed: query.get("failed") === "true" || undefined,
    },
    correlation,
  );
  const [paused, setPaused] = useState<Picture | null>(null);
  const followed = ["plugin", "subscription", "type", "failed", "correlation"].map((name) => query.get(name)).join("\n");
  // The paused picture is that of the former filter.
  useEffect(() => setPaused(null), [followed]);
  const shown = paused ?? stream.picture;
  const rows = useMemo(
    () => (text === undefined ? shown.rows : shown.rows.filter(({ message }) => hasText(message, text))),
    [shown, text],
  );
  const pause = (
    <button type="button" class="primary" onClick={() => setPaused(paused === null ? stream.picture : null)}>
      {paused === null ? "Pause" : "Resume"}
    </button>
  );
  return (
    <Page title="Live" actions={pause}>
      <LiveFilters />
      {correlation !== undefined && (
        <p class="card live-followed">
          <span>
            Only the cause tree <code>{correlation}</code>
          </span>
          <Link href={causePath(correlation)}>Show the whole tree</Link>
          <button type="button" class="quiet" onClick={() => query.set({ correlation: undefined })}>
            Follow everything
          </button>
        </p>
      )}
      {stream.error !== undefined && <Problem error={stream.error} />}
      <Section title="Attempts and requests, newest first">
        <Status stream={stream} paused={paused} />
        <LiveTable rows={rows} empty={<Nothing isFiltered={text !== undefined && shown.rows.length > 0} correlation={correlation} />} />
      </Section>
    </Page>
  );
}

const STATES = {
  connecting: "Connecting…",
  open: "Connected",
  refused: "The host refuses the stream",
  closed: "Closed",
};

/** The connection, exact counts, and what is not shown. */
function Status({ stream, paused }: { stream: Stream; paused: Picture | null }) {
  const { counts, received, sampling } = stream.picture;
  const sampled = samplingText(sampling, count);
  return (
    <div class="live-status">
      <span role="status" aria-live="polite">
        {STATES[stream.state]}
        {paused !== null && ", paused"}
      </span>
      <span class="figure">{counted(counts.attempts, "attempt")}</span>
      <span class="figure">{counted(counts.requests, "request")}</span>
      <span class="figure">{counted(counts.failures, "failure")}</span>
      {counts.lost > 0 && <span class="figure live-lost">{counted(counts.lost, "record")} lost</span>}
      <span class="figure muted">{count(sampling.rate)}/s</span>
      {paused !== null && (
        <span class="figure">{counted(received - paused.received, "message")} arrived while paused</span>
      )}
      {sampled !== null && <strong class="live-sampled">{sampled}</strong>}
    </div>
  );
}

function Nothing({ isFiltered, correlation }: { isFiltered: boolean; correlation: string | undefined }) {
  if (isFiltered) {
    return <Empty title="No message has this text.">Change the text filter. New messages are searched, too.</Empty>;
  }
  if (correlation !== undefined) {
    return (
      <Empty title="Nothing of this cause tree has ended since the page was opened.">
        It may have ended before. <Link href={causePath(correlation)}>The whole tree</Link> has what is recorded.
      </Empty>
    );
  }
  return (
    <Empty title="Nothing has ended since the page was opened.">
      Call a route of a plugin{may("publish_events") && <>, or <Link href="/publish">publish an event</Link></>}.{" "}
      <Link href="/events">Events</Link> has what happened earlier.
    </Empty>
  );
}
