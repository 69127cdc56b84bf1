import { useRef, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { useGet } from "../../api/use";
import { Copy } from "../../components/copy";
import { Empty } from "../../components/page";
import { Loaded } from "../../components/problem";
import { useIngress } from "../../model/ingress";
import { pluginPath } from "../../model/paths";
import { routeCurl } from "../../model/route_copies";
import { EMPTY_ROUTE_DRAFT, draftOfRoute, type RouteDraft } from "../../model/route_request";
import { RouteForm, type PluginRoute } from "./route_form";

/** The routes of all plugins: a form that calls one, and each route as a command. */
export function Routes() {
  const plugins = useGet("/v1/plugins", {}, { refresh: 10_000 });
  return (
    <Loaded of={plugins}>
      {({ plugins: all }) => {
        const routes = all.flatMap((plugin) => plugin.routes.map((route) => ({ plugin, route })));
        return routes.length === 0 ? (
          <Empty title="No plugin has a route.">
            <Link href="/plugins">Upload a plugin</Link> that serves one.
          </Empty>
        ) : (
          <RouteCalls routes={routes} />
        );
      }}
    </Loaded>
  );
}

function RouteCalls({ routes }: { routes: PluginRoute[] }) {
  const [draft, setDraft] = useState<RouteDraft>(EMPTY_ROUTE_DRAFT);
  const ingress = useIngress();
  const form = useRef<HTMLDivElement>(null);
  const maySend = may("send_request");
  const use = (route: string) => {
    setDraft(draftOfRoute(route));
    form.current?.querySelector<HTMLElement>('[name="path"]')?.focus();
  };
  return (
    <>
      {maySend && (
        <div ref={form}>
          <RouteForm draft={draft} setDraft={setDraft} routes={routes} />
        </div>
      )}
      <p class="muted">
        Clients reach the routes at {ingress.isUnknown ? "the ingress, whose port the host chose when it started" : ingress.url}.
        {ingress.isUnknown && " In a command, replace HOST:PORT with its address."}
      </p>
      <ul class="publish-routes">
        {routes.map(({ plugin, route }) => (
          <li key={`${plugin.name} ${route}`}>
            <code>{route}</code>
            <span>
              by <Link href={pluginPath(plugin)}>{plugin.name}</Link>
            </span>
            <span class="actions">
              {maySend && (
                <button type="button" class="quiet" aria-label={`Fill the form with ${route}`} onClick={() => use(route)}>
                  Fill the form
                </button>
              )}
              <Copy text={routeCurl(route, ingress.url)} label="Copy as curl" />
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
