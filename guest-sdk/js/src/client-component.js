// The client as a component has it: what the build takes in place of client.js, so that only a plugin that sends
// requests imports `wasi:http`.

import { offer } from "./host.js";
import { send } from "./requests.js";

offer({ send });

export * from "./client.js";
