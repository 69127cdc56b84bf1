import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { Time } from "../../components/time";
import { causeRows, findRow, placeRows, rangeOf, type CauseRow, type PlacedRow } from "../../model/cause_rows";
import { utc } from "../../model/time";
import { micros } from "../../model/format";
import { Row } from "./waterfall_row";
import { useTreeKeys } from "./use_tree_keys";
import "./waterfall.css";

interface Props {
  tree: Schemas["CauseTreeView"];
  /** The event or request that the reader asked for. */
  id: string;
}

const ROW = 40;

/** A cause tree on a time axis. The arrow keys move, collapse and expand, as in a file tree. */
export function Waterfall({ tree, id }: Props) {
  const now = useMemo(() => Date.now(), [tree]);
  const rows = useMemo(() => causeRows(tree, now), [tree, now, utc.value]);
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = useState<string | null>(null);
  const [zoom, setZoom] = useState<string | null>(null);
  const placed = useMemo(() => placeRows(rows, collapsed), [rows, collapsed]);
  const zoomed = zoom === null ? null : findRow(rows, zoom);
  const range = rangeOf(zoomed === null ? rows : [zoomed], now);
  const toggle = (key: string, isCollapsed: boolean) =>
    setCollapsed((current) => {
      const next = new Set(current);
      if (isCollapsed) {
        next.add(key);
      } else {
        next.delete(key);
      }
      return next;
    });
  const parents = () => placed.filter(({ row, level }) => level > 1 && row.children.length > 0).map(({ row }) => row.key);
  return (
    <div class="waterfall">
      <div class="actions">
        <button type="button" onClick={() => setCollapsed(new Set())} disabled={collapsed.size === 0}>
          Expand all
        </button>
        <button type="button" onClick={() => setCollapsed(new Set([...collapsed, ...parents()]))}>
          Collapse all
        </button>
        <button
          type="button"
          disabled={zoom === null && active === null}
          onClick={() => setZoom(zoom === null ? active : null)}
        >
          {zoom === null ? "Zoom to the selected row" : "Show the whole time"}
        </button>
        <Legend />
      </div>
      <Grid placed={placed} range={range} id={id} collapsed={collapsed} active={active} onActive={setActive} toggle={toggle} />
    </div>
  );
}

interface GridProps {
  placed: PlacedRow[];
  range: { from: number; to: number };
  id: string;
  collapsed: ReadonlySet<string>;
  active: string | null;
  onActive: (key: string) => void;
  toggle: (key: string, isCollapsed: boolean) => void;
}

function Grid({ placed, range, id, collapsed, active, onActive, toggle }: GridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: placed.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 15,
    getItemKey: (index) => placed[index]?.row.key ?? index,
  });
  const { current, onKeyDown, focus } = useTreeKeys({ placed, collapsed, active, onActive, toggle, virtual, scroller });
  useShownId(placed, id, virtual.scrollToIndex);
  return (
    <div
      class="waterfall-grid"
      role="treegrid"
      aria-label="Cause tree"
      aria-rowcount={placed.length + 1}
      ref={scroller}
      onKeyDown={onKeyDown}
    >
      <div class="waterfall-row waterfall-head" role="row" aria-rowindex={1}>
        <span role="columnheader">What</span>
        <span role="columnheader">Outcome and durations</span>
        <span role="columnheader" class="waterfall-axis">
          <Time at={new Date(range.from).toISOString()} short />
          <span class="figure">+{micros((range.to - range.from) * 1_000)}</span>
        </span>
      </div>
      <div role="rowgroup" class="waterfall-body" style={{ height: `${virtual.getTotalSize()}px` }}>
        {virtual.getVirtualItems().map(({ key, index, start }) => {
          const item = placed[index] as PlacedRow;
          return (
            <Row
              key={key}
              item={item}
              index={index}
              start={start}
              range={range}
              isAsked={isAsked(item.row, id)}
              isCollapsed={collapsed.has(item.row.key)}
              isCurrent={item.row.key === current}
              measure={virtual.measureElement}
              onFocus={() => onActive(item.row.key)}
              onToggle={() => {
                toggle(item.row.key, !collapsed.has(item.row.key));
                focus(item.row.key);
              }}
            />
          );
        })}
      </div>
    </div>
  );
}

/** Whether a row is of the event or request that the reader asked for. */
function isAsked({ subject }: CauseRow, id: string): boolean {
  return (
    (subject.kind === "request" && subject.request.id === id) || (subject.kind === "event" && subject.event.id === id)
  );
}

/** Scrolls to the row that the reader asked for, once. */
function useShownId(placed: PlacedRow[], id: string, scrollTo: (index: number, options: { align: "center" }) => void) {
  const isDone = useRef(false);
  useEffect(() => {
    const index = placed.findIndex(({ row }) => isAsked(row, id));
    if (!isDone.current && index >= 0) {
      isDone.current = true;
      scrollTo(index, { align: "center" });
    }
  }, [placed, id]);
}

function Legend() {
  return (
    <ul class="waterfall-legend" aria-label="Colours of the bars">
      <li class="span-wait">wait</li>
      <li class="span-run">run</li>
      <li class="span-failed">failed run</li>
      <li class="span-backoff">backoff</li>
      <li class="span-delay">delay</li>
    </ul>
  );
}
