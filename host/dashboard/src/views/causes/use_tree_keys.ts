import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { PlacedRow } from "../../model/cause_rows";

interface Options {
  placed: PlacedRow[];
  collapsed: ReadonlySet<string>;
  active: string | null;
  onActive: (key: string) => void;
  toggle: (key: string, isCollapsed: boolean) => void;
  virtual: { scrollToIndex: (index: number) => void };
  scroller: RefObject<HTMLElement>;
}

/** Where a key leads from a row: the index of another row, or a change of this one. */
export function stepOf(
  key: string,
  placed: PlacedRow[],
  index: number,
  collapsed: ReadonlySet<string>,
): number | "collapse" | "expand" | null {
  const item = placed[index];
  if (item === undefined) {
    return null;
  }
  const { row, parent } = item;
  const isExpanded = row.children.length > 0 && !collapsed.has(row.key);
  const parentIndex = placed.findIndex((other) => other.row.key === parent);
  switch (key) {
    case "ArrowDown":
      return Math.min(index + 1, placed.length - 1);
    case "ArrowUp":
      return Math.max(index - 1, 0);
    case "Home":
      return 0;
    case "End":
      return placed.length - 1;
    case "ArrowRight":
      return row.children.length === 0 ? null : isExpanded ? index + 1 : "expand";
    case "ArrowLeft":
      return isExpanded ? "collapse" : parentIndex < 0 ? null : parentIndex;
    default:
      return null;
  }
}

/** The keys of a tree (WAI-ARIA treegrid): one row takes part in the tab order, and the arrow keys move between rows. */
export function useTreeKeys({ placed, collapsed, active, onActive, toggle, virtual, scroller }: Options) {
  const isKnown = placed.some(({ row }) => row.key === active);
  const current = isKnown ? active : (placed[0]?.row.key ?? null);
  const wanted = useRef<string | null>(null);
  // A row may have to be drawn before it can take the focus.
  useEffect(() => {
    if (wanted.current === null) {
      return;
    }
    const index = placed.findIndex(({ row }) => row.key === wanted.current);
    const element = scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`);
    if (element !== undefined && element !== null) {
      wanted.current = null;
      element.focus();
    }
  });
  const focus = (key: string) => {
    wanted.current = key;
    onActive(key);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const index = placed.findIndex(({ row }) => row.key === current);
    const row = placed[index]?.row;
    if (row === undefined) {
      return;
    }
    if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.matches("[role=row]")) {
      event.target.querySelector("a")?.click();
      return;
    }
    const step = stepOf(event.key, placed, index, collapsed);
    if (step === null) {
      return;
    }
    event.preventDefault();
    if (typeof step === "number") {
      virtual.scrollToIndex(step);
      focus(placed[step]?.row.key ?? row.key);
    } else {
      toggle(row.key, step === "collapse");
      focus(row.key);
    }
  };
  return { current, onKeyDown, focus };
}
