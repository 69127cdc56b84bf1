[[typed]]
import { {{Type}} } from "{{events}}";
[[end]]
import { log, plugin, state } from "@sandbus/sdk";

const self = plugin();
[[on]]
[[untyped]]

/** The schema of an event's data: a JSON Schema, or a schema of zod or valibot. Data that does not fit is rejected. */
const schema = { type: "object", required: ["name"], properties: { name: { type: "string" } } };
[[end]]

[[typed]]
self.on("{{type}}", { schema: {{Type}}, retry: { maxAttempts: 5 } }, (data) => {
[[end]]
[[untyped]]
self.on("{{type}}", { schema, retry: { maxAttempts: 5 } }, (data) => {
[[end]]
  log.info(`handling ${data.name}`);
  state.add("handled");
});
[[end]]
[[route]]

self.route("{{route}}", (request) => {
  log.info(`responding to ${request.path}`);
  return { json: { handled: state.get("handled") ?? 0 } };
});
[[end]]

export default self;
