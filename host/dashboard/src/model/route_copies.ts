/** Commands that call the routes of plugins. */

import { quote } from "./shell";

/** A route of a plugin, `METHOD /path`, as a command. Parameters become words in capitals to replace. */
export function routeCurl(route: string, ingress: string): string {
  const space = route.indexOf(" ");
  const method = route.slice(0, space);
  const path = route.slice(space + 1).replace(/\{\*?([^}]+)\}/g, (_, name: string) => name.toUpperCase());
  const hasBody = ["POST", "PUT", "PATCH"].includes(method);
  const verb = method === "GET" || method === "POST" ? "" : method === "HEAD" ? " -I" : ` -X ${quote(method)}`;
  const body = hasBody ? ` \\\n  -H 'content-type: application/json' --data '{}'` : "";
  return `curl${verb} ${quote(ingress + path)}${body}`;
}
