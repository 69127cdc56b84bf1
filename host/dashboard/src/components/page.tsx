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

/** Whether no page has been shown since the document was loaded. */
let isFirstPage = true;

/**
 * A page. Its title takes the focus when another page was open before, and when the element that had the focus is removed,
 * so that the keyboard and screen readers never start over at the beginning of the document. In a document that has just
 * been loaded they do start there, as readers expect, with the link past the navigation and the navigation.
 */
export function Page({ title, context, actions, children }: Props) {
  const main = useRef<HTMLElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    let focused: EventTarget | null = null;
    const remember = ({ target }: FocusEvent) => (focused = target);
    const observer = new MutationObserver(() => {
      if (focused instanceof Node && !focused.isConnected) {
        focused = null;
        focusTitleIfLost();
      }
    });
    const page = main.current as HTMLElement;
    page.addEventListener("focusin", remember);
    observer.observe(page, { childList: true, subtree: true });
    return () => {
      page.removeEventListener("focusin", remember);
      observer.disconnect();
    };
  }, []);
  useEffect(() => {
    document.title = `${title} · Sandbus`;
    if (!isFirstPage) {
      heading.current?.focus({ preventScroll: true });
    }
  }, [title]);
  // Titles that change while the first page loads do not count as another page.
  useEffect(() => () => void (isFirstPage = false), []);
  return (
    <main id="main" class="page" ref={main}>
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

/** Gives the focus to the title of the page if no element has it. */
export function focusTitleIfLost(): void {
  if (document.activeElement === null || document.activeElement === document.body) {
    document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
  }
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
