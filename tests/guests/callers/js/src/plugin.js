// Sends the request that an event describes, and publishes the response.

import { plugin, publish } from "@sandbus/sdk";
import * as client from "@sandbus/sdk/client";

export default plugin({ publishes: ["call.answered"] }).on(
  "call.wanted",
  { retry: { maxAttempts: 1 } },
  ({ method, url, body = "", timeout_ms: timeout }) => {
    const answer = client.send(method, url, { text: body, headers: { "X-Caller": "a guest" }, timeout });
    const text = answer.text();
    publish("call.answered", { status: answer.status, length: text.length, beginning: text.slice(0, 20) });
  },
);
