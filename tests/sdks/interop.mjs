// The JavaScript SDKs of CloudEvents, Standard Webhooks and Svix, against a running host: as producers, as receivers of
// webhooks, and as verifiers of their signatures. Prints one line of JSON for each case.

import { createRequire } from "node:module";
import { createServer } from "node:http";

const [ingress, admin, installed] = process.argv.slice(2);
const require = createRequire(`${installed}/js/`);
const { CloudEvent, HTTP } = require("cloudevents");
const standardwebhooks = require("standardwebhooks");
const svix = require("svix");

const SECRETS = ["whsec_YSBzZWNyZXQgZm9yIHRoZSB0ZXN0cyBvbmx5", "whsec_YW5vdGhlciBzZWNyZXQgZm9yIHRoZSB0ZXN0cw=="];
const VERIFIERS = { standardwebhooks: standardwebhooks.Webhook, svix: svix.Webhook };

/** Events of each kind: their data, media type and more. */
const EVENTS = {
  object: { data: { total: 7, name: "größe €", nested: [1, null, { a: true }] }, datacontenttype: "application/json" },
  array: { data: [1, 2, 3], datacontenttype: "application/json; charset=utf-8" },
  // The SDK reads it as JSON in structured mode alone.
  "json suffix": {
    data: { a: 1 },
    datacontenttype: "application/vnd.example+json",
    in: ["binary", "structured", "/signed"],
  },
  "no media type": { data: { a: 1 } },
  "empty object": { data: {}, datacontenttype: "application/json" },
  text: { data: "plain text, größe €", datacontenttype: "text/plain" },
  xml: { data: "<a>&amp;</a>", datacontenttype: "application/xml" },
  bytes: { data: new Uint8Array([0, 255, 128, 10]), datacontenttype: "application/octet-stream" },
  protobuf: { data: new Uint8Array([10, 5, 104, 101, 108, 108, 111]), datacontenttype: "application/x-protobuf" },
  attributes: {
    data: { a: 1 },
    datacontenttype: "application/json",
    subject: "orders/7",
    time: "2018-04-05T17:31:00.123Z",
    dataschema: "https://example.com/schema?a=b",
    tenant: "acme",
  },
  // The SDK neither writes nor reads the escapes of headers (HTTP binding 1.0.2, section 3.1.3.2): bodies alone.
  "escaped attributes": { data: 1, subject: "größe € \"quoted\" 100%", tenant: "acme corp", in: ["structured", "/signed"] },
  "no data": {},
};

function report(sdk, name, failure) {
  console.log(JSON.stringify({ sdk, name, failure: failure === undefined ? null : String(failure?.stack ?? failure) }));
}

async function attempt(sdk, name, act) {
  try {
    await act();
    report(sdk, name);
  } catch (error) {
    report(sdk, name, error);
  }
}

function demand(condition, what) {
  if (!condition) throw new Error(what);
}

/** A webhook's receiver: what came at a path. */
const received = { "/binary": [], "/signed": [] };
const waiting = new Set();
const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    // As body parsers give it: text where the media type says so.
    const bytes = Buffer.concat(parts);
    const isBytes = /octet-stream|protobuf/.test(request.headers["content-type"]);
    received[request.url].push({ headers: request.headers, body: isBytes ? bytes : bytes.toString() });
    response.writeHead(204).end();
    for (const look of waiting) look();
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

/** Waits for what a receiver finds among its requests. */
function comes(path, find) {
  return new Promise((resolve, reject) => {
    const give_up = setTimeout(() => reject(new Error(`nothing came at ${path}`)), 5_000);
    const look = () => {
      const found = received[path].find(find);
      if (found === undefined) return;
      waiting.delete(look);
      clearTimeout(give_up);
      resolve(found);
    };
    waiting.add(look);
    look();
  });
}

async function send(url, message) {
  const response = await fetch(url, { method: "POST", headers: message.headers, body: message.body });
  const text = await response.text();
  demand(response.ok, `${response.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

function post(path, body) {
  return send(`${admin}/v1${path}`, { headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

async function subscribe(name, path, more) {
  const url = `http://127.0.0.1:${server.address().port}${path}`;
  await post("/subscriptions", { name, pattern: "sdk.js.>", target: { webhook: { url, ...more } } });
}

/** What one compares of an event. */
function essence(event) {
  const { id, source, type, subject, dataschema, tenant, data, data_base64 } = event;
  const time = event.time === undefined ? undefined : new Date(event.time).toISOString();
  const base64 = data instanceof Uint8Array ? Buffer.from(data).toString("base64") : data_base64;
  const value = base64 === undefined ? data : undefined;
  return JSON.stringify({ id, source, type, subject, dataschema, tenant, time, data: value, base64 });
}

/** Whether an event came as it was sent. The host adds no time to one that has none, and the SDK does. */
function compare(sent, came) {
  const [expected, found] = [essence(sent), essence(came)];
  demand(expected === found, `sent ${expected}, came ${found}`);
}

const named = (id) => (request) => HTTP.toEvent(request).id === id;

await subscribe("js-binary", "/binary", {});
await subscribe("js-signed", "/signed", { secret: SECRETS[0] });

const sent = [];
for (const [name, attributes] of Object.entries(EVENTS)) {
  for (const mode of ["binary", "structured"]) {
    const { in: only, ...own } = attributes;
    if (only !== undefined && !only.includes(mode)) continue;
    const id = `${name} ${mode}`.replaceAll(" ", "-");
    const time = own.time ?? "2026-01-01T00:00:00.000Z";
    const event = new CloudEvent({ id, source: "/sdk/js", type: "sdk.js.sent", ...own, time });
    await attempt("cloudevents (npm)", `${id}: published`, async () => {
      await send(`${ingress}/events`, HTTP[mode](event));
      sent.push({ event, paths: only ?? Object.keys(received) });
    });
  }
}
await attempt("cloudevents (npm)", "batch: published", async () => {
  const batch = ["1", "2", "3"].map(
    (id) => new CloudEvent({ id: `batch-${id}`, source: "/sdk/js", type: "sdk.js.sent", data: { id } }),
  );
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const accepted = await send(`${ingress}/events`, { headers, body: JSON.stringify(batch) });
  demand(accepted.accepted.length === 3, JSON.stringify(accepted));
  sent.push(...batch.map((event) => ({ event, paths: Object.keys(received) })));
});
for (const { event, paths } of sent) {
  for (const path of paths.filter((path) => path.startsWith("/"))) {
    await attempt("cloudevents (npm)", `${event.id}: received at ${path}`, async () => {
      compare(event, HTTP.toEvent(await comes(path, named(event.id))));
    });
  }
}

/** Whether a delivery is one that a secret signed. */
function verifies(Verifier, secret, request, body = request.body) {
  try {
    new Verifier(secret).verify(body, request.headers);
    return true;
  } catch {
    return false;
  }
}

async function publish(id) {
  const event = new CloudEvent({ id, source: "/sdk/js", type: "sdk.js.sent", data: { id } });
  await send(`${ingress}/events`, HTTP.structured(event));
  return comes("/signed", named(id));
}

const one = await publish("signed-once");
await post("/subscriptions/operator/js-signed/secret", { secret: SECRETS[1], overlap: "1h" });
const both = await publish("signed-twice");
for (const [name, Verifier] of Object.entries(VERIFIERS)) {
  const sdk = `${name} (npm)`;
  const check = (what, is, should) => attempt(sdk, what, () => demand(is === should, `it is ${is}`));
  await check("a delivery verifies", verifies(Verifier, SECRETS[0], one), true);
  await check("another secret does not verify it", verifies(Verifier, SECRETS[1], one), false);
  const altered = one.body.replace("signed-once", "signed-0nce");
  await check("an altered body does not verify", verifies(Verifier, SECRETS[0], one, altered), false);
  for (const secret of SECRETS) {
    await check(`while it is rotated, ${secret} verifies`, verifies(Verifier, secret, both), true);
  }
  await attempt(sdk, "it signs alike", () => {
    const { headers, body } = one;
    const date = new Date(Number(headers["webhook-timestamp"]) * 1_000);
    const signature = new Verifier(SECRETS[0]).sign(headers["webhook-id"], date, body);
    demand(signature === headers["webhook-signature"], `${signature} and ${headers["webhook-signature"]}`);
  });
}
server.closeAllConnections();
server.close();
