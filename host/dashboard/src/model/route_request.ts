/** A request to a route as the reader writes it. */

import type { Schemas } from "../api/client";

/** The fields of the form. */
export interface RouteDraft {
  method: string;
  /** The path, with its query. */
  path: string;
  /** One `NAME: VALUE` in a line. */
  headers: string;
  body: string;
}

/** The methods that routes of plugins have. */
export const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;

/** An empty form. */
export const EMPTY_ROUTE_DRAFT: RouteDraft = { method: "GET", path: "/", headers: "", body: "" };

/** What is wrong with the fields, by their names. */
export type RouteFaults = Partial<Record<keyof RouteDraft, string>>;

/** What is wrong with a draft. Empty if it can be sent. The host checks the rest. */
export function faultsOfRequest(draft: RouteDraft): RouteFaults {
  const faults: RouteFaults = {};
  if (!draft.path.startsWith("/")) {
    faults.path = "Enter a path that begins with /, such as /orders.";
  } else if (/[{}]/.test(draft.path)) {
    faults.path = "Replace the parameters in braces.";
  } else if (/[\s#]/.test(draft.path)) {
    faults.path = "Encode spaces as %20 and number signs as %23.";
  }
  const malformed = linesOf(draft.headers).find((line) => !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+:/.test(line));
  if (malformed !== undefined) {
    faults.headers = `Write NAME: VALUE: ${malformed}`;
  }
  return faults;
}

/** The parameters of the call. */
export function lineOf({ method, path }: RouteDraft): { method: string; path: string } {
  return { method, path };
}

/** The body of the call. */
export function requestOf({ headers, body }: RouteDraft): Schemas["RouteRequest"] {
  const named = linesOf(headers).map((line) => {
    const colon = line.indexOf(":");
    return { name: line.slice(0, colon), value: line.slice(colon + 1).trim() };
  });
  return { headers: named, body: body === "" ? null : body, body_base64: null };
}

/** A draft for a route of a plugin, `METHOD /path`. Its parameters are in braces, for the reader to replace. */
export function draftOfRoute(route: string): RouteDraft {
  const { method, path } = partsOfRoute(route);
  const hasBody = ["POST", "PUT", "PATCH"].includes(method);
  return {
    method,
    path,
    headers: hasBody ? "content-type: application/json" : "",
    body: hasBody ? "{}" : "",
  };
}

/** A draft like a request of a scenario. */
export function draftOfSample({ method, path, headers, body }: Schemas["SampleRequestView"]): RouteDraft {
  return { method, path, headers: headers.map(({ name, value }) => `${name}: ${value}`).join("\n"), body };
}

/** The routes that match a request, of those given. */
export function matching<Route extends { route: string }>(routes: Route[], { method, path }: RouteDraft): Route[] {
  const wanted = segmentsOf(path.split("?")[0] ?? "");
  return routes.filter(({ route }) => {
    const parts = partsOfRoute(route);
    return parts.method === method && matches(segmentsOf(parts.path), wanted);
  });
}

function matches(pattern: string[], path: string[]): boolean {
  const rest = pattern.findIndex((segment) => segment.startsWith("{*"));
  if (rest >= 0) {
    return path.length > rest && matches(pattern.slice(0, rest), path.slice(0, rest));
  }
  const isEqual = (segment: string, index: number) =>
    /^\{.+\}$/.test(segment) ? path[index] !== "" : segment === path[index];
  return pattern.length === path.length && pattern.every(isEqual);
}

function partsOfRoute(route: string): { method: string; path: string } {
  const space = route.indexOf(" ");
  return { method: route.slice(0, space), path: route.slice(space + 1) };
}

function segmentsOf(path: string): string[] {
  return path.split("/");
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}
