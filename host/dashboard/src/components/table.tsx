import { useVirtualizer } from "@tanstack/react-virtual";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** A column of a table. */
export interface Column<Item> {
  title: string;
  /** The width as a CSS grid track, such as `8rem` or `minmax(10rem, 1fr)`. */
  width: string;
  cell: (item: Item) => ComponentChildren;
  /** Figures are aligned at their end. */
  isFigure?: boolean;
  /** Left out on narrow screens. */
  isSecondary?: boolean;
}

interface Props<Item> {
  /** What the table lists, for screen readers. */
  label: string;
  columns: Column<Item>[];
  items: Item[];
  keyOf: (item: Item) => string | number;
  /** Shown instead of an empty table. */
  empty: ComponentChildren;
  /** Called when the reader comes near the end. */
  onEnd?: () => void;
  /** Marks a row. */
  toneOf?: (item: Item) => "bad" | "warn" | undefined;
  /** The height of the visible part, as a CSS length. Short tables take less. */
  height?: string;
}

const ROW = 34;

/** A table that keeps only the visible rows in the document, so that 100,000 rows scroll smoothly. */
export function Table<Item>({ label, columns, items, keyOf, empty, onEnd, toneOf, height = "60vh" }: Props<Item>) {
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
    getItemKey: (index) => keyOf(items[index] as Item),
  });
  const visible = rows.getVirtualItems();
  const lastVisible = visible.at(-1)?.index ?? -1;
  useEffect(() => {
    if (items.length > 0 && lastVisible >= items.length - 20) {
      onEnd?.();
    }
  }, [lastVisible, items.length, onEnd]);
  if (items.length === 0) {
    return <>{empty}</>;
  }
  const tracks = columns.map((column) => column.width).join(" ");
  const narrowTracks = columns.filter((column) => !column.isSecondary).map((column) => column.width);
  const style = { "--tracks": tracks, "--narrow-tracks": narrowTracks.join(" "), maxHeight: height };
  const classes = (column: Column<Item>) =>
    [column.isFigure ? "figure align-end" : "", column.isSecondary ? "secondary" : ""].join(" ").trim();
  return (
    <div
      class="table"
      role="table"
      aria-label={label}
      aria-rowcount={items.length + 1}
      style={style}
      ref={scroller}
      tabIndex={0}
    >
      <div class="table-row table-head" role="row">
        {columns.map((column) => (
          <span key={column.title} role="columnheader" class={classes(column)}>
            {column.title}
          </span>
        ))}
      </div>
      <div role="rowgroup" class="table-body" style={{ height: `${rows.getTotalSize()}px` }}>
        {visible.map((row) => {
          const item = items[row.index] as Item;
          const tone = toneOf?.(item);
          return (
            <div
              key={row.key}
              role="row"
              aria-rowindex={row.index + 2}
              class={`table-row${tone === undefined ? "" : ` row-${tone}`}`}
              style={{ transform: `translateY(${row.start}px)`, height: `${ROW}px` }}
            >
              {columns.map((column) => (
                <span key={column.title} role="cell" class={classes(column)}>
                  {column.cell(item)}
                </span>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}
