import { log, plugin, state } from "@sandbus/sdk";

const self = plugin();
[[on]]

/** What an event's data must be (JSON Schema, or a schema of zod or valibot); it is the handler's type as well. */
const schema = { type: "object", required: ["name"], properties: { name: { type: "string" } } } as const;

self.on("{{type}}", { schema, retry: { maxAttempts: 5 } }, (data) => {
  log.info(`handling ${data.name}`);
  state.add("handled");
});
[[end]]
[[route]]

self.route("{{route}}", (request) => {
  log.info(`answering ${request.path}`);
  return { json: { handled: state.get("handled") ?? 0 } };
});
[[end]]

export default self;
