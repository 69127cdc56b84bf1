import { log, plugin, state } from "@sandbus/sdk";

const self = plugin();
[[on]]

/** What this plugin wants to know of an event. */
interface Data {
  name: string;
}

self.on("{{type}}", { retry: { attempts: 5 } }, (data: Data) => {
  log.info(`handling ${data.name}`);
  state.increment("handled");
});
[[end]]
[[route]]

self.route("{{route}}", (request) => {
  log.info(`answering ${request.path}`);
  return { json: { handled: state.get("handled") ?? 0 } };
});
[[end]]

export default self;
