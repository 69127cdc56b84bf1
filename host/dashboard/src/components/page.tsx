import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface Props {
  title: string;
  /** What the title belongs to, such as a link to the list. */
  context?: ComponentChildren;
  /** Buttons of the page. */
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** A page. It takes the focus when it opens, so that the keyboard and screen readers begin at its title. */
export function Page({ title, context, actions, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Sandbus`;
    heading.current?.focus({ preventScroll: true });
  }, [title]);
  return (
    <main id="main" class="page">
      <header class="page-header">
        <div>
          {context !== undefined && <p class="page-context">{context}</p>}
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
        </div>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </header>
      {children}
    </main>
  );
}

/** A titled part of a page. */
export function Section(props: { title: string; actions?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="section" aria-label={props.title}>
      <header class="section-header">
        <h2>{props.title}</h2>
        {props.actions !== undefined && <div class="actions">{props.actions}</div>}
      </header>
      {props.children}
    </section>
  );
}

/** Names and values. Rows without a value are left out. */
export function Facts({ rows }: { rows: [string, ComponentChildren | null | undefined][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) =>
        value === null || value === undefined ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

/** What a list shows if it has no items: why, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children !== undefined && <div>{children}</div>}
    </div>
  );
}
