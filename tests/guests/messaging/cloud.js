// Replies to messages that ask for a reply, as a component made for wasmCloud does.

import { publish, request } from "wasmcloud:messaging/consumer@0.2.0";

const bytes = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const text = (bytes) => String.fromCharCode(...bytes);

export const handler = {
  handleMessage({ subject, body, replyTo }) {
    if (!replyTo) throw `${subject} asks for no reply`;
    let waited;
    try {
      waited = request("answers", bytes("1"), 10);
    } catch (error) {
      waited = error?.payload ?? error;
    }
    publish({ subject: replyTo, body: bytes(JSON.stringify({ heard: text(body), waited })), replyTo: "thanks" });
  },
};
