[[typed]]
import { {{Type}} } from "{{events}}";
[[end]]
import { log, plugin, state } from "@sandbus/sdk";

const self = plugin();
[[on]]

[[typed]]
self.on("{{type}}", { schema: {{Type}}, retry: { maxAttempts: 5 } }, (data) => {
[[end]]
[[untyped]]
// Any data is accepted. With the option `schema` (a JSON Schema, or a schema of zod or valibot), data that does not match
// is rejected.
self.on("{{type}}", { retry: { maxAttempts: 5 } }, (data) => {
[[end]]
  log.info(`handling ${JSON.stringify(data)}`);
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
