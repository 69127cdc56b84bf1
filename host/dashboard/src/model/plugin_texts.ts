/** What the pages of plugins say: the effects of changes, capabilities, and what is shown of values. */

import type { Schemas } from "../api/client";
import { bytes, count, counted, short } from "./format";

type Plugin = Schemas["PluginView"];
type Subscription = Schemas["SubscriptionView"];

/** The name of a plugin as in its file: `mailer` for `mailer.wasm`. */
export function nameOfFile(file: string): string {
  return file.replace(/^.*[/\\]/, "").replace(/\.wasm$/i, "");
}

/** What stops when a plugin stops, with figures. */
export function stoppedText(plugin: Plugin, subscriptions: Subscription[] | undefined): string {
  const routes = `Its ${counted(plugin.routes.length, "route")} will answer 503.`;
  if (subscriptions === undefined) {
    return routes;
  }
  const own = subscriptions.filter((subscription) => subscription.replay === null);
  const backlog = own.reduce((sum, subscription) => sum + subscription.backlog, 0);
  const pending = counted(backlog, "delivery", "deliveries");
  return `${routes} Deliveries of its ${counted(own.length, "subscription")} stop. ${pending} in the backlog will wait.`;
}

/** The effect of an upload. `running` is undefined for a new plugin. */
export function uploadText(name: string, size: number, running: Plugin | undefined): string {
  const build = `this build (${bytes(size)})`;
  if (running === undefined) {
    return `Adds the plugin ${name} with ${build}.`;
  }
  if (running.digest === null) {
    return `Installs ${build} as ${name}, which does not run.`;
  }
  return (
    `Replaces the generation ${short(running.digest)} of ${name} with ${build}. ` +
    `${counted(running.routes.length, "route")} and ${counted(running.subscriptions.length, "subscription")} of the ` +
    "running generation are swapped between two events."
  );
}

/** What a canary has found, in a sentence. */
export function canaryText(report: Schemas["CanaryView"]): string {
  const total = counted(report.handled, "delivery", "deliveries");
  return `The canary ran ${total} through both: ${count(report.different)} different, ${count(report.inconclusive)} inconclusive.`;
}

/** The kinds of capabilities. */
export type CapabilityKind = "publish" | "subscribe" | "http" | "networks" | "webhooks";

/** What each kind permits. */
export const CAPABILITY_KINDS: Record<CapabilityKind, string> = {
  publish: "Publish",
  subscribe: "Subscribe at run time",
  http: "Send requests to",
  networks: "Reach private network",
  webhooks: "Deliver webhooks to",
};

/** A capability that a plugin requests, or that it is granted. */
export interface Capability {
  kind: CapabilityKind;
  pattern: string;
  isRequested: boolean;
  /** Whether the sidecar, or the default, permits it. */
  isGranted: boolean;
}

/** Requested and granted capabilities, those that are withheld first. */
export function capabilitiesOf(plugin: Plugin): Capability[] {
  const withheld = new Set(plugin.withheld);
  const requested = (["publish", "subscribe"] as const).flatMap((kind) =>
    (plugin.asks_for?.[kind] ?? []).map((pattern) => {
      return { kind, pattern, isRequested: true, isGranted: !withheld.has(`${kind} ${pattern}`) };
    }),
  );
  const isRequested = (kind: string, pattern: string) =>
    requested.some((capability) => capability.kind === kind && capability.pattern === pattern);
  const granted = (["publish", "subscribe", "http", "networks", "webhooks"] as const).flatMap((kind) =>
    (plugin.granted?.[kind] ?? [])
      .filter((pattern) => !isRequested(kind, pattern))
      .map((pattern) => ({ kind, pattern, isRequested: false, isGranted: true })),
  );
  const rank = (capability: Capability) => (capability.isGranted ? 1 : 0);
  return [...requested, ...granted].sort((first, second) => rank(first) - rank(second));
}

/** The CORS rules that apply to a route. */
export function corsOf(plugin: Plugin, route: string): Schemas["CorsRuleView"][] {
  return plugin.cors.filter((rule) => rule.routes.includes(route));
}

/** A CORS rule in words. */
export function corsText(rule: Schemas["CorsRuleView"]): string {
  const parts = [`origins ${rule.origins.join(", ")}`];
  if (rule.headers.length > 0) {
    parts.push(`headers ${rule.headers.join(", ")}`);
  }
  if (rule.expose_headers.length > 0) {
    parts.push(`exposes ${rule.expose_headers.join(", ")}`);
  }
  if (rule.credentials) {
    parts.push("with credentials");
  }
  if (rule.max_age !== null) {
    parts.push(`for ${rule.max_age}`);
  }
  return parts.join(" · ");
}

/** The lines that a change of a text adds and removes, counted as a multiset. */
export function changedLines(before: string, after: string): { added: number; removed: number } {
  const counts = new Map<string, number>();
  for (const line of linesOf(before)) {
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  let added = 0;
  for (const line of linesOf(after)) {
    const left = counts.get(line) ?? 0;
    counts.set(line, left - 1);
    added += left > 0 ? 0 : 1;
  }
  const removed = [...counts.values()].reduce((sum, left) => sum + Math.max(0, left), 0);
  return { added, removed };
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  // A line break at the end begins no further line.
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

/** JSON as an object or array, if it reads back as exactly the same text; else the text itself. */
export function losslessJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && JSON.stringify(value) === text ? value : text;
  } catch {
    return text;
  }
}
