/** An event as a command and as a scenario. */

import type { Schemas } from "../api/client";
import { quote } from "./shell";
import { tomlOf } from "./toml";

type EventDocument = Schemas["EventDocument"];

/** The attributes that only the host sets, as in guest-sdk/conformance/host-attributes.json. */
const HOST_ATTRIBUTES = ["causationid", "causationsource", "hops", "authtype", "authid", "authclaims"];
/** Attributes that producers may set only with a permission. */
const REPLY_ATTRIBUTES = ["correlationid", "correlationsource"];
/** What a scenario's step has keys for. */
const STEP_KEYS = ["specversion", "type", "id", "source", "subject", "data", "data_base64"];

/** Whether only the host may set an attribute. */
export function isHostAttribute(name: string): boolean {
  return HOST_ATTRIBUTES.includes(name) || name.startsWith("sandbus");
}

/** An event that a producer may publish: with another id, and without what the host sets. */
export function publishable(event: EventDocument, id: string): EventDocument {
  const members = Object.entries(event).filter(([name]) => !isHostAttribute(name) && !REPLY_ATTRIBUTES.includes(name));
  const source = /^\/plugins(\/|$)/i.test(event.source) ? "/copy" : event.source;
  return { ...(Object.fromEntries(members) as EventDocument), id, source };
}

/** Whether the host refuses events of a type from others. */
export function isReservedType(eventType: string): boolean {
  return /^(schedule|sandbus)(\.|$)/i.test(eventType);
}

/** A command that publishes an event through the ingress. */
export function curlOf(event: EventDocument, ingress: string, needsToken: boolean): string {
  const lines = [`curl ${quote(`${ingress}/events`)}`, `-H ${quote("content-type: application/cloudevents+json")}`];
  if (needsToken) {
    lines.push('-H "authorization: Bearer $TOKEN"');
  }
  lines.push(`--data-binary ${quote(JSON.stringify(event))}`);
  return lines.join(" \\\n  ");
}

/** The setting of a configuration. */
type Setting = Pick<Schemas["SettingView"], "key" | "value">;

/** What is known of the public HTTP port. */
export interface Ingress {
  /** Its URL, without a slash at the end. `HOST:PORT` stands for what is not known. */
  url: string;
  /** Whether the configured address does not say where it is. */
  isUnknown: boolean;
  /** Whether any producer may publish events there. */
  acceptsEvents: boolean;
  /** Whether all producers need a token. */
  needsToken: boolean;
}

/** What the configuration says about the public HTTP port. `host` is the name by which the reader reaches the host. */
export function ingressOf(settings: Setting[], host: string): Ingress {
  const valueOf = (key: string) => settings.find((setting) => setting.key === key)?.value;
  const listen = valueOf("listen");
  const match = typeof listen === "string" ? /^(.*):(\d+)$/.exec(listen) : null;
  const [, address = "", port = "0"] = match ?? [];
  const isAny = ["0.0.0.0", "[::]", ""].includes(address);
  const isUnknown = port === "0";
  const scheme = valueOf("ingress.tls") === null || valueOf("ingress.tls") === undefined ? "http" : "https";
  const producers = valueOf("ingress.events");
  const list = Array.isArray(producers) ? (producers as { token_file?: unknown }[]) : [];
  return {
    url: `${scheme}://${isUnknown ? "HOST:PORT" : `${isAny ? host : address}:${port}`}`,
    isUnknown,
    acceptsEvents: list.length > 0,
    needsToken: list.length > 0 && list.every((producer) => typeof producer.token_file === "string"),
  };
}

/** What a scenario needs to know besides the event. */
export interface ScenarioContext {
  /** The plugins that received the event. */
  plugins: string[];
  /** When the event was stored, in RFC 3339. */
  storedAt: string;
  /** The outcome of the only attempt, `ack` or the cause of the failure; null if there was another number. */
  outcome: string | null;
}

/** A scenario as a file for `sandbus test`. */
export interface ScenarioCopy {
  format: "TOML" | "JSON";
  text: string;
}

/**
 * A scenario that publishes an event: in TOML, or in JSON if TOML cannot express the data. Null if the data is binary,
 * because only a file can contain it.
 */
export function scenarioOf(event: EventDocument, context: ScenarioContext): ScenarioCopy | null {
  if (event.data_base64 !== undefined) {
    return null;
  }
  const { plugins, storedAt, outcome } = context;
  const name = `${event.type} with the id ${event.id} is handled`;
  const step: [string, unknown][] = [["event", event.type]];
  for (const key of ["id", "source", "subject", "data"] as const) {
    if (event[key] !== undefined) {
      step.push([key, event[key]]);
    }
  }
  const others = Object.entries(event).filter(([key]) => !STEP_KEYS.includes(key) && !isHostAttribute(key));
  if (others.length > 0) {
    step.push(["attributes", Object.fromEntries(others)]);
  }
  const lines = step.map(([key, value]) => [key, tomlOf(value)] as const);
  if (lines.some(([, value]) => value === null)) {
    return { format: "JSON", text: jsonScenario(plugins, name, storedAt, step, outcome) };
  }
  const text = [
    ...fileKeys(plugins).map(([key, value]) => `${key} = ${tomlOf(value)}`),
    "",
    "[[scenario]]",
    `name = ${tomlOf(name)}`,
    `given.time = ${tomlOf(storedAt)}`,
    "",
    "[[scenario.step]]",
    ...lines.map(([key, value]) => `${key} = ${value}`),
    outcome === null ? '# then.outcome = "ack"' : `then.outcome = ${tomlOf(outcome)}`,
    "",
  ];
  return { format: "TOML", text: text.join("\n") };
}

function jsonScenario(
  plugins: string[],
  name: string,
  time: string,
  step: [string, unknown][],
  outcome: string | null,
): string {
  const then = outcome === null ? {} : { then: { outcome } };
  const scenario = { name, given: { time }, step: [{ ...Object.fromEntries(step), ...then }] };
  return `${JSON.stringify({ ...Object.fromEntries(fileKeys(plugins)), scenario: [scenario] }, null, 2)}\n`;
}

function fileKeys(plugins: string[]): [string, unknown][] {
  return plugins.length === 0 ? [] : plugins.length === 1 ? [["plugin", plugins[0]]] : [["plugins", plugins]];
}

/** A new id for an event: a random UUID. `crypto.randomUUID` exists on secure pages only. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = Array.from(bytes, (byte, index) =>
    (index === 6 ? (byte & 0x0f) | 0x40 : index === 8 ? (byte & 0x3f) | 0x80 : byte).toString(16).padStart(2, "0"),
  ).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
