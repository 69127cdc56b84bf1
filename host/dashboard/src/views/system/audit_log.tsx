import type { Schemas } from "../../api/client";
import { usePages } from "../../api/use";
import { Badge, type Tone } from "../../components/badge";
import { Empty, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { count, short } from "../../model/format";

type Entry = Schemas["AuditEntryView"];

const TONES: Record<string, Tone> = { ended: "good", denied: "bad", begun: "info" };

const COLUMNS: Column<Entry>[] = [
  {
    title: "Number",
    width: "5rem",
    isFigure: true,
    isSecondary: true,
    cell: ({ sequence, begun }) => (
      <span title={begun === null ? undefined : `the end of ${begun}`}>{count(sequence)}</span>
    ),
  },
  { title: "At", width: "7.5rem", isSecondary: true, cell: ({ at }) => <Time at={at} short /> },
  { title: "Actor", width: "minmax(5rem, 1fr)", isSecondary: true, cell: ({ actor }) => <span title={actor}>{actor}</span> },
  { title: "Operation", width: "minmax(8rem, 1fr)", cell: ({ operation }) => <code title={operation}>{operation}</code> },
  {
    title: "Request",
    width: "minmax(8rem, 2fr)",
    isSecondary: true,
    cell: ({ request }) => <code title={request}>{request}</code>,
  },
  {
    title: "Outcome",
    width: "7rem",
    cell: ({ outcome, status }) => (
      <>
        <Badge tone={status !== null && status >= 400 ? "bad" : TONES[outcome]}>{outcome}</Badge> {status ?? ""}
      </>
    ),
  },
  { title: "Hash", width: "7.5rem", isSecondary: true, cell: ({ hash }) => <code title={hash}>{short(hash)}</code> },
];

/** The changes that were made through the API, newest first. */
export function AuditLog() {
  const log = usePages("/v1/audit", { params: { query: {} } }, (page) => page.entries);
  return (
    <Section
      title="Audit log"
      actions={
        <button type="button" class="quiet" onClick={log.reload}>
          Read again
        </button>
      }
    >
      {log.error !== undefined && <Problem error={log.error} />}
      {log.isLoading && <p class="muted">Loading…</p>}
      {!log.isLoading && log.error === undefined && (
        <Table
          label="Changes, newest first"
          columns={COLUMNS}
          items={log.items}
          keyOf={({ sequence }) => sequence}
          toneOf={({ outcome }) => (outcome === "denied" ? "bad" : undefined)}
          onEnd={log.hasMore ? log.readMore : undefined}
          empty={<Empty title="No changes yet.">The log records each change that is made through the API.</Empty>}
        />
      )}
    </Section>
  );
}
