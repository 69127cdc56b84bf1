import { Link } from "wouter-preact";
import { useGet } from "../../api/use";
import { Copy } from "../../components/copy";
import { Empty } from "../../components/page";
import { Loaded } from "../../components/problem";
import { useIngress } from "../../model/ingress";
import { pluginPath } from "../../model/paths";
import { routeCurl } from "../../model/route_copies";

/** The routes of all plugins, each as a command. */
export function Routes() {
  const plugins = useGet("/v1/plugins", {}, { refresh: 10_000 });
  const ingress = useIngress();
  return (
    <>
      <p class="muted">
        Routes are at the ingress, {ingress.isUnknown ? "whose port the host chose when it started" : ingress.url}. Browsers
        do not let this page call it, so copy a command.
        {ingress.isUnknown && " Replace HOST:PORT with its address."}
      </p>
      <Loaded of={plugins}>
        {({ plugins: all }) => {
          const routes = all.flatMap((plugin) => plugin.routes.map((route) => ({ plugin, route })));
          if (routes.length === 0) {
            return (
              <Empty title="No plugin has a route.">
                <Link href="/plugins">Upload a plugin</Link> that serves one.
              </Empty>
            );
          }
          return (
            <ul class="publish-routes">
              {routes.map(({ plugin, route }) => (
                <li key={`${plugin.name} ${route}`}>
                  <code>{route}</code>
                  <span>
                    by <Link href={pluginPath(plugin)}>{plugin.name}</Link>
                  </span>
                  <Copy text={routeCurl(route, ingress.url)} label="Copy as curl" />
                </li>
              ))}
            </ul>
          );
        }}
      </Loaded>
    </>
  );
}
