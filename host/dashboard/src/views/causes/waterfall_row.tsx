import { Link } from "wouter-preact";
import { Badge, toneOf, type Tone } from "../../components/badge";
import { Time } from "../../components/time";
import type { CauseRow, PlacedRow, Span } from "../../model/cause_rows";
import { eventPath } from "../../model/event_paths";
import { micros } from "../../model/format";
import { subscriptionPath } from "../../model/paths";

interface Props {
  item: PlacedRow;
  index: number;
  start: number;
  range: { from: number; to: number };
  isAsked: boolean;
  isCollapsed: boolean;
  /** Whether the row takes part in the tab order. */
  isCurrent: boolean;
  measure: (element: HTMLElement | null) => void;
  onFocus: () => void;
  onToggle: () => void;
}

/** A row of the waterfall. */
export function Row({ item, index, start, range, isAsked, isCollapsed, isCurrent, measure, onFocus, onToggle }: Props) {
  const { row, level, position, siblings } = item;
  const hasChildren = row.children.length > 0;
  return (
    <div
      ref={measure}
      data-index={index}
      class={`waterfall-row${isAsked ? " waterfall-asked" : ""}`}
      role="row"
      aria-level={level}
      aria-posinset={position}
      aria-setsize={siblings}
      aria-rowindex={index + 2}
      aria-expanded={hasChildren ? !isCollapsed : undefined}
      tabIndex={isCurrent ? 0 : -1}
      style={{ transform: `translateY(${start}px)`, "--level": level - 1 }}
      onFocus={onFocus}
    >
      <span role="gridcell" class="waterfall-name">
        {hasChildren ? (
          <button
            type="button"
            class="quiet waterfall-toggle"
            tabIndex={-1}
            aria-label={isCollapsed ? "Expand" : "Collapse"}
            onClick={onToggle}
          >
            {isCollapsed ? "▸" : "▾"}
          </button>
        ) : (
          <span class="waterfall-toggle" />
        )}
        <span class="waterfall-title">
          <Title row={row} isCurrent={isCurrent} />
          {isAsked && <span class="visually-hidden"> (the one asked for)</span>}
          {row.reasons.map((reason) => (
            <span key={reason} class="waterfall-reason">
              {reason}
            </span>
          ))}
        </span>
      </span>
      <span role="gridcell" class="waterfall-outcome">
        {row.state !== null && <Badge tone={toneOfRow(row)}>{row.state}</Badge>}
        {row.marks.map((mark) => (
          <Badge key={mark}>{mark}</Badge>
        ))}
        <Figures row={row} />
      </span>
      <span role="gridcell" class="waterfall-bars">
        <Bars spans={row.spans} range={range} />
      </span>
    </div>
  );
}

function toneOfRow({ subject, state }: CauseRow): Tone {
  if (subject.kind === "request") {
    return subject.request.status >= 500 ? "bad" : subject.request.status >= 400 ? "warn" : "good";
  }
  return subject.kind === "delayed" ? "info" : toneOf(state ?? "");
}

/** The name of a row with its link. Only the link of the current row takes part in the tab order. */
function Title({ row: { subject, title }, isCurrent }: { row: CauseRow; isCurrent: boolean }) {
  const tabIndex = isCurrent ? 0 : -1;
  switch (subject.kind) {
    case "event":
      return (
        <Link href={eventPath(subject.event.id, subject.event.source)} tabIndex={tabIndex}>
          {title}
        </Link>
      );
    case "delivery":
      return (
        <Link href={subscriptionPath(subject.delivery.subscription)} tabIndex={tabIndex}>
          {title}
        </Link>
      );
    case "attempt":
      return title === subject.attempt.subscription ? (
        <Link href={subscriptionPath(title)} tabIndex={tabIndex}>
          {title}
        </Link>
      ) : (
        <>{title}</>
      );
    default:
      return <>{title}</>;
  }
}

function Figures({ row: { subject, figures } }: { row: CauseRow }) {
  return (
    <span class="muted figure">
      {figures.join(", ")}
      {subject.kind === "event" && (
        <>
          {figures.length > 0 && ", "}stored <Time at={subject.event.stored_at} short />
        </>
      )}
      {subject.kind === "delayed" && (
        <>
          enters the log at <Time at={subject.event.due} short />
        </>
      )}
      {subject.kind === "attempt" && subject.attempt.retry_at !== null && (
        <>
          , next at <Time at={subject.attempt.retry_at} short />
        </>
      )}
    </span>
  );
}

const WORDS = { wait: "wait", run: "run", failed: "failed run", backoff: "backoff", delay: "delay", stored: "stored" };

/** The bars of a row. Their text is in the row, except for waits, whose tooltip has it. */
function Bars({ spans, range }: { spans: Span[]; range: { from: number; to: number } }) {
  const whole = range.to - range.from;
  const place = (time: number) => Math.min(100, Math.max(0, ((time - range.from) / whole) * 100));
  return (
    <>
      {spans.map((span, index) => (
        <span
          key={index}
          class={`span span-${span.kind}`}
          title={span.kind === "stored" ? "stored" : `${WORDS[span.kind]} ${micros((span.to - span.from) * 1_000)}`}
          style={{ insetInlineStart: `${place(span.from)}%`, width: `${place(span.to) - place(span.from)}%` }}
        />
      ))}
    </>
  );
}
