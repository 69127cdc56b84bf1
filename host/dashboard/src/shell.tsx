import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { access, logOut, may } from "./api/access";
import { pageCalls } from "./api/calls";
import type { Schemas } from "./api/client";
import { Copy } from "./components/copy";
import { notifyFailure } from "./components/notice";
import { pluginPath } from "./model/paths";
import { quote } from "./model/shell";
import { showUtc, utc, zoneName } from "./model/time";

const PAGES: [path: string, title: string][] = [
  ["/", "Overview"],
  ["/live", "Live"],
  ["/events", "Events"],
  ["/dead-letters", "Dead letters"],
  ["/plugins", "Plugins"],
  ["/subscriptions", "Subscriptions"],
  ["/schedules", "Schedules"],
  ["/publish", "Publish"],
  ["/system", "System"],
];

/** The pages that the reader can open. A token of one plugin leads to that plugin only. */
function pagesOf({ plugin }: Schemas["AccessView"]): [path: string, title: string][] {
  if (plugin !== null) {
    return [
      [pluginPath({ name: plugin, file: null }), plugin],
      [`/live?plugin=${encodeURIComponent(plugin)}`, "Live"],
    ];
  }
  return PAGES.filter(([page]) => page !== "/publish" || may("publish_events"));
}

function isOpen(page: string, path: string): boolean {
  const [own = ""] = page.split("?", 1);
  return own === "/" ? path === "/" : path === own || path.startsWith(`${own}/`);
}

function Navigation({ caller }: { caller: Schemas["AccessView"] }) {
  const [path] = useLocation();
  const [isUnfolded, setUnfolded] = useState(false);
  return (
    <nav class="nav" aria-label="Pages">
      <div class="nav-brand">
        <span class="nav-name">Sandbus</span>
        <button
          type="button"
          class="nav-toggle quiet"
          aria-expanded={isUnfolded}
          aria-controls="nav-pages"
          onClick={() => setUnfolded(!isUnfolded)}
        >
          Menu
        </button>
      </div>
      <ul id="nav-pages" class={isUnfolded ? "nav-pages unfolded" : "nav-pages"}>
        {pagesOf(caller).map(([page, title]) => (
          <li key={page}>
            <Link
              href={page}
              class={isOpen(page, path) ? "nav-link current" : "nav-link"}
              aria-current={isOpen(page, path) ? "page" : undefined}
              onClick={() => setUnfolded(false)}
            >
              {title}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Caller({ caller }: { caller: Schemas["AccessView"] }) {
  const { role, plugin, token, hide_payloads } = caller;
  return (
    <header class="caller">
      <button
        type="button"
        class="quiet"
        aria-pressed={utc.value}
        title={`Times are in ${zoneName(utc.value)}`}
        onClick={() => showUtc(!utc.value)}
      >
        {zoneName(utc.value)}
      </button>
      <span class="muted">
        {token?.name ?? token?.id ?? "this machine"} · {role}
        {plugin !== null && ` for ${plugin} only`}
        {hide_payloads && " · payloads hidden"}
      </span>
      {token !== null && (
        <button type="button" class="quiet" onClick={() => void logOut().catch(notifyFailure)}>
          Log out
        </button>
      )}
    </header>
  );
}

/** The calls behind the page, each ready for a shell. */
function Calls() {
  const calls = [...pageCalls.value.keys()];
  return (
    <details class="calls">
      <summary>
        API calls behind this page <span class="muted">{calls.length}</span>
      </summary>
      <ul>
        {calls.map((name) => (
          <li key={name}>
            <code>{name}</code> <Copy text={() => curlOf(name)} label="Copy as curl" />
          </li>
        ))}
      </ul>
    </details>
  );
}

function curlOf(name: string): string {
  const [method, url] = name.split(" ", 2);
  const verb = method === "GET" ? "" : ` -X ${method}`;
  // Where no token is required, the host rejects an empty one.
  const isAnonymous = access.value?.token === null;
  const token = isAnonymous ? "" : ' -H "Authorization: Bearer $SANDBUS_TOKEN"';
  return `curl${verb}${token} ${quote(`${location.origin}${url}`)}`;
}

/** What surrounds every page: navigation, the reader's role, and the calls behind the page. */
export function Shell({ caller, children }: { caller: Schemas["AccessView"]; children: ComponentChildren }) {
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <Navigation caller={caller} />
      <div class="content">
        <Caller caller={caller} />
        {children}
        <footer class="footer">
          <Calls />
        </footer>
      </div>
    </div>
  );
}
