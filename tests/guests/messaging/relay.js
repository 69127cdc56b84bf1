// Forwards each message, together with the results of calls to the draft interfaces. It does not depend on Sandbus.

import { get } from "wasi:config/runtime@0.2.0-draft";
import { increment } from "wasi:keyvalue/atomics@0.2.0-draft";
import { deleteMany, getMany, setMany } from "wasi:keyvalue/batch@0.2.0-draft";
import { open } from "wasi:keyvalue/store@0.2.0-draft";
import { log } from "wasi:logging/logging";
import { send } from "wasi:messaging/producer@0.2.0-draft";
import { Client, Message } from "wasi:messaging/types@0.2.0-draft";

const bytes = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const text = (bytes) => String.fromCharCode(...bytes);

export const incomingHandler = {
  handle(message) {
    const client = Client.connect("any");
    const deed = text(message.data());
    if (deed === '"fail"') throw { tag: "connection", val: "the other side is away" };
    if (deed === '"hoard"') hoard();
    if (deed === '"overstep"') return send(client, "forbidden", new Message(bytes("1")));

    const sent = new Message(bytes(JSON.stringify({ topic: message.topic(), deed, ...remember() })));
    sent.setContentType(message.contentType());
    sent.setMetadata(message.metadata());
    sent.addMetadata("tenant", "acme");
    sent.addMetadata("passing", "1");
    sent.removeMetadata("passing");
    send(client, `relayed.${message.topic()}`, sent);
    client.disconnect();
    log("info", "relay", `sent on ${message.topic()}`);
  },
};

function remember() {
  const bucket = open("");
  const count = Number(increment(bucket, "count", 2));
  setMany(bucket, ["a", "b", "c"].map((key) => [key, bytes(key)]));
  deleteMany(bucket, ["b"]);
  const many = getMany(bucket, ["a", "b"]).map((pair) => pair && [pair[0], text(pair[1])]);
  const { keys, cursor } = bucket.listKeys(null);
  return { count, many, keys, cursor: cursor ?? null, greeting: get("greeting") };
}

// The messages are stored in the host's memory. This component stores their bytes once.
function hoard() {
  const [one, all] = [new Uint8Array(1 << 20), []];
  for (;;) all.push(new Message(one));
}
