import { log, plugin, state } from "@sandbus/sdk";

const self = plugin();
[[on]]

self.on("{{type}}", { retry: { attempts: 5 } }, (data) => {
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
