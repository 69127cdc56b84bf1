import type { ComponentChildren } from "preact";
import { Link } from "wouter-preact";
import type { Message } from "../../api/stream";
import { Badge } from "../../components/badge";
import { AttemptOutcome, RequestOutcome } from "../../components/outcome";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { causePath, eventPath, followPath } from "../../model/event_paths";
import { counted, micros } from "../../model/format";
import { isFailure, type LiveRow } from "../../model/live";

/** Messages of the stream. */
export function LiveTable({ rows, empty }: { rows: LiveRow[]; empty: ComponentChildren }) {
  return (
    <Table
      label="Attempts and requests"
      columns={COLUMNS}
      items={rows}
      keyOf={({ number }) => number}
      toneOf={({ message }) => (message.kind === "lost" ? "warn" : isFailure(message) ? "bad" : undefined)}
      empty={empty}
    />
  );
}

const COLUMNS: Column<LiveRow>[] = [
  { title: "Ended", width: "7.5rem", isSecondary: true, cell: ({ message }) => <Ended message={message} /> },
  { title: "Outcome", width: "minmax(6.5rem, 8.5rem)", cell: ({ message }) => <Outcome message={message} /> },
  { title: "What", width: "minmax(8rem, 4fr)", cell: ({ message }) => <What message={message} /> },
  { title: "Queued", width: "4.5rem", isFigure: true, isSecondary: true, cell: ({ message }) => usage(message, "queued") },
  { title: "Run", width: "4.5rem", isFigure: true, cell: ({ message }) => usage(message, "took") },
  { title: "Reason", width: "minmax(4rem, 2fr)", isSecondary: true, cell: ({ message }) => <Reason message={message} /> },
  { title: "Cause tree", width: "7.5rem", isSecondary: true, cell: ({ message }) => <Tree message={message} /> },
];

function Ended({ message }: { message: Message }) {
  return message.kind === "lost" ? null : <Time at={message.at} short />;
}

function Outcome({ message }: { message: Message }) {
  switch (message.kind) {
    case "attempt":
      return <AttemptOutcome attempt={message} />;
    case "request":
      return <RequestOutcome request={message} />;
    case "lost":
      return <Badge tone="warn">lost</Badge>;
  }
}

function What({ message }: { message: Message }) {
  switch (message.kind) {
    case "attempt":
      return (
        <>
          <Link href={eventPath(message.event, message.source)}>{message.event_type}</Link>{" "}
          <span class="muted">to</span> {message.subscription}
          {message.attempt > 1 && <span class="muted"> attempt {message.attempt}</span>}
        </>
      );
    case "request":
      return (
        <>
          <Link href={causePath(message.id)}>
            {message.method} {message.path}
          </Link>{" "}
          <span class="muted">by</span> {message.plugin}
        </>
      );
    case "lost":
      return <>{lostText(message.count ?? null)}</>;
  }
}

function lostText(lost: number | null): string {
  return lost === null
    ? "Records may be missing: the connection broke, or the host restarted"
    : `${counted(lost, "record")} lost: the page read too slowly, or was disconnected for too long`;
}

function usage(message: Message, figure: "queued" | "took"): string {
  if (message.kind === "lost") {
    return "";
  }
  if (figure === "queued") {
    return micros(message.queued_us);
  }
  // The whole time of a request includes the time in the queue.
  return micros(message.kind === "request" ? message.took_us - message.queued_us : message.took_us);
}

function Reason({ message }: { message: Message }) {
  return message.kind === "lost" || message.reason === null ? null : <span title={message.reason}>{message.reason}</span>;
}

function Tree({ message }: { message: Message }) {
  if (message.kind === "lost") {
    return null;
  }
  const correlation = message.kind === "attempt" ? message.correlation : message.correlations[0];
  return (
    <>
      <Link href={message.kind === "attempt" ? causePath(message.event, message.source) : causePath(message.id)}>Show</Link>
      {correlation !== undefined && (
        <>
          {" · "}
          <Link href={followPath(correlation)}>Follow</Link>
        </>
      )}
    </>
  );
}
