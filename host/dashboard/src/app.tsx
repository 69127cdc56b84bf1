import type { ComponentChildren } from "preact";
import { lazy, Suspense } from "preact/compat";
import { useEffect, useErrorBoundary } from "preact/hooks";
import { Redirect, Route, Switch, useLocation } from "wouter-preact";
import { access, readAccess } from "./api/access";
import { ConfirmDialog } from "./components/confirm";
import { Notice, notifyFailure } from "./components/notice";
import { Empty, Page } from "./components/page";
import { pluginPath, textOf } from "./model/paths";
import { Shell } from "./shell";

const Overview = lazy(() => import("./views/overview/overview"));
const Live = lazy(() => import("./views/live/live"));
const Events = lazy(() => import("./views/events/events"));
const EventPage = lazy(() => import("./views/events/event"));
const CauseTree = lazy(() => import("./views/causes/cause_tree"));
const DeadLetters = lazy(() => import("./views/dead_letters/dead_letters"));
const DeadLetter = lazy(() => import("./views/dead_letters/dead_letter"));
const Plugins = lazy(() => import("./views/plugins/plugins"));
const Plugin = lazy(() => import("./views/plugins/plugin"));
const Subscriptions = lazy(() => import("./views/subscriptions/subscriptions"));
const Subscription = lazy(() => import("./views/subscriptions/subscription"));
const Schedules = lazy(() => import("./views/schedules/schedules"));
const Publish = lazy(() => import("./views/publish/publish"));
const System = lazy(() => import("./views/system/system"));
const LogIn = lazy(() => import("./views/login/login"));

/** The pages by path. A view that an address can open has a path of its own. A token of one plugin begins there. */
function Pages({ plugin }: { plugin: string | null }) {
  return (
    <Switch>
      <Route path="/">
        {plugin === null ? <Overview /> : <Redirect to={pluginPath({ name: plugin, file: null })} replace />}
      </Route>
      <Route path="/live" component={Live} />
      <Route path="/events" component={Events} />
      <Route path="/events/:id">{({ id }) => named(textOf(id), (id) => <EventPage id={id} />)}</Route>
      <Route path="/causes/:id">{({ id }) => named(textOf(id), (id) => <CauseTree id={id} />)}</Route>
      <Route path="/dead-letters" component={DeadLetters} />
      <Route path="/dead-letters/:number">{({ number }) => named(numberOf(number), (number) => <DeadLetter number={number} />)}</Route>
      <Route path="/plugins" component={Plugins} />
      <Route path="/plugins/:name">{({ name }) => named(textOf(name), (name) => <Plugin name={name} />)}</Route>
      <Route path="/subscriptions" component={Subscriptions} />
      <Route path="/subscriptions/:owner/:name">
        {({ owner, name }) =>
          named(textOf(owner), (owner) => named(textOf(name), (name) => <Subscription owner={owner} name={name} />))
        }
      </Route>
      <Route path="/schedules" component={Schedules} />
      <Route path="/publish" component={Publish} />
      <Route path="/system" component={System} />
      <Route component={NotFound} />
    </Switch>
  );
}

/** The page of what a segment of the path names, unless the segment is malformed. */
function named<Name>(name: Name | undefined, page: (name: Name) => ComponentChildren) {
  return name === undefined ? <NotFound /> : <>{page(name)}</>;
}

/** The number that a segment of the path is; undefined if it is not a number. */
function numberOf(segment: string): number | undefined {
  return /^\d{1,15}$/.test(segment) ? Number(segment) : undefined;
}

function NotFound() {
  return (
    <Page title="Page not found">
      <Empty title="The dashboard has no such page.">Choose one from the navigation.</Empty>
    </Page>
  );
}

/** Says why a page cannot be shown, such as a script that an upgrade of the host has replaced. */
function Boundary({ children }: { children: ComponentChildren }) {
  const [failure] = useErrorBoundary();
  if (failure === undefined) {
    return <>{children}</>;
  }
  return (
    <main id="main" class="page">
      <h1>The page cannot be shown</h1>
      <p>{String(failure)}</p>
      <button type="button" onClick={() => location.reload()}>
        Load again
      </button>
    </main>
  );
}

/** How long the page waits before it asks a host again that did not answer, in milliseconds. */
const RETRY = 2_000;

/** The dashboard. */
export function App() {
  const [path] = useLocation();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = () =>
      void readAccess().catch((error: unknown) => {
        notifyFailure(error);
        timer = setTimeout(read, RETRY);
      });
    read();
    return () => clearTimeout(timer);
  }, []);
  useEffect(() => window.scrollTo(0, 0), [path]);
  const caller = access.value;
  return (
    <>
      <Boundary>
        <Suspense fallback={<p class="muted page">Loading…</p>}>
          {caller === null && <LogIn />}
          {caller !== null && caller !== undefined && (
            <Shell caller={caller}>
              <Pages plugin={caller.plugin} />
            </Shell>
          )}
        </Suspense>
      </Boundary>
      <ConfirmDialog />
      <Notice />
    </>
  );
}
