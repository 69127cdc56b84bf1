import type { ComponentChildren } from "preact";

interface Props {
  /** What the table lists, for screen readers. */
  label: string;
  columns: string[];
  class?: string;
  /** The table's `tbody` elements. */
  children: ComponentChildren;
}

/** A table with few rows of any height, which scrolls sideways. `Table` is for long lists. */
export function PlainTable({ label, columns, class: name, children }: Props) {
  return (
    <div class="plain-table" tabIndex={0} role="group" aria-label={label}>
      <table class={name}>
        <thead>
          <tr>
            {columns.map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        {children}
      </table>
    </div>
  );
}
