import { Link } from "wouter-preact";
import { may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { Empty, Section } from "../../components/page";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { bytes, count, micros, seconds } from "../../model/format";
import { countOf, subjectOf } from "../../model/minutes";
import { pluginPath, subscriptionPath } from "../../model/paths";
import { useQuery } from "../../model/query";

type Subject = Schemas["SubjectView"];

/** The percentiles by their names in the address. */
const PERCENTILES = ["p50", "p95", "p99", "max"] as const;
type Percentile = (typeof PERCENTILES)[number];

/** What each subscription, and the routes of each plugin, did in the last minute. */
export function LastMinute({ statistics }: { statistics: Schemas["StatisticsView"] | undefined }) {
  const query = useQuery();
  const percentile = PERCENTILES.find((name) => name === query.get("percentile")) ?? "p95";
  if (statistics === undefined) {
    return null;
  }
  return (
    <Section
      title="Last minute"
      actions={
        <>
          <div role="group" aria-label="Percentile of the times" class="segments">
            {PERCENTILES.map((name) => (
              <button
                key={name}
                type="button"
                aria-pressed={name === percentile}
                onClick={() => query.set({ percentile: name })}
              >
                {name}
              </button>
            ))}
          </div>
          <span class="muted">
            As of <Time at={statistics.at} short />
          </span>
        </>
      }
    >
      <Table
        label="Last minute of each subscription and of the routes of each plugin"
        columns={columnsOf(percentile)}
        items={statistics.subjects}
        keyOf={subjectOf}
        toneOf={(subject) => (subject.failed > 0 ? "bad" : subject.retried > 0 ? "warn" : undefined)}
        empty={
          <Empty title="Nothing has happened since the host started.">
            Call a route of a plugin{may("publish_events") && <>, or <Link href="/publish">publish an event</Link></>}.
          </Empty>
        }
      />
      <p class="muted">Times are accurate to within 6 %.</p>
    </Section>
  );
}

function columnsOf(percentile: Percentile): Column<Subject>[] {
  const figure = (title: string, width: string, cell: (subject: Subject) => string, isSecondary = true) => {
    return { title, width, cell, isSecondary, isFigure: true };
  };
  const time = (title: string, kind: "run" | "wait" | "latency") =>
    figure(`${title} ${percentile}`, "5.25rem", (subject) => {
      // Only handled deliveries have a wait and a total.
      const isMeasured = kind === "run" ? countOf(subject) > 0 : subject.latency.max_us > 0;
      return isMeasured ? micros(subject[kind][`${percentile}_us`]) : "–";
    });
  return [
    { title: "Subject", width: "minmax(5rem, 2fr)", cell: (subject) => <Name subject={subject} /> },
    figure("Succeeded", "5rem", (subject) => count(subject.succeeded), false),
    figure("Retried", "4rem", (subject) => count(subject.retried)),
    figure("Failed", "3.5rem", (subject) => count(subject.failed), false),
    time("Run", "run"),
    time("Wait", "wait"),
    time("Total", "latency"),
    figure("Memory", "5rem", (subject) => bytes(subject.memory_bytes)),
    figure("In flight", "4.5rem", (subject) => optional(subject.in_flight, count)),
    figure("Backlog", "4.5rem", (subject) => optional(subject.backlog, count), false),
    figure("Lag", "4.5rem", (subject) => optional(subject.lag_seconds, seconds)),
  ];
}

function Name({ subject }: { subject: Subject }) {
  const { plugin, subscription } = subject;
  const href = subscription === null ? pluginPath({ name: plugin, file: null }) : subscriptionPath(subscription);
  return (
    <Link href={href} title={subjectOf(subject)}>
      {subjectOf(subject)}
    </Link>
  );
}

function optional(value: number | null, text: (value: number) => string): string {
  return value === null ? "–" : text(value);
}
