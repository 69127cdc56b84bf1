/** The changes of plugins whose bodies are not JSON. */

import { call, urlOf, type Schemas } from "../api/client";

/** What a canary compares with the running generation. */
export type CanarySource = { file: Blob } | { generation: string };

/** Uploads a component. With a tag, only if the plugin still has it. */
export function uploadComponent(name: string, file: Blob, tag: string | null): Promise<Schemas["PluginView"]> {
  const params = { path: { name }, header: ifMatch(tag) };
  return call("put", "/v1/plugins/{name}/component", { params, ...binary(file, "application/wasm") });
}

/** Compares a build or an archived generation with the running generation, on past events. */
export function runCanary(name: string, source: CanarySource, events: number): Promise<Schemas["CanaryView"]> {
  const generation = "generation" in source ? source.generation : undefined;
  const params = { path: { name }, query: { events, generation } };
  const body = "file" in source ? binary(source.file, "application/wasm") : {};
  return call("post", "/v1/plugins/{name}/canary", { params, ...body });
}

/** The call of a canary, as the page shows it. */
export function canaryCall(name: string, source: CanarySource, events: number): string {
  const generation = "generation" in source ? source.generation : undefined;
  return `POST ${urlOf("/v1/plugins/{name}/canary", { params: { path: { name }, query: { events, generation } } })}`;
}

/** Replaces the sidecar of a plugin. With a tag, only if the sidecar still has it. */
export async function putSidecar(name: string, text: string, tag: string | null): Promise<void> {
  const params = { path: { name }, header: ifMatch(tag) };
  await call("put", "/v1/plugins/{name}/sidecar", { params, ...binary(text, "application/toml") });
}

/** The header that makes a change conditional. */
export function ifMatch(tag: string | null): { "If-Match"?: string } {
  return tag === null ? {} : { "If-Match": tag };
}

/** A body that is sent as it is. */
function binary(body: Blob | string, mediaType: string) {
  // The document describes binary bodies as strings.
  return { body: body as string, bodySerializer: (same: unknown) => same as Blob, headers: { "Content-Type": mediaType } };
}
