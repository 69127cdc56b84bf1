// Events as handlers receive them.

import { reject } from "./failure.js";
import { decode, decodeJson, isJson, isText } from "./text.js";

/** An event with its attributes and its delivery. */
export class Event {
  constructor({ event, subscription, attempt, replay }) {
    this.id = event.id;
    this.source = event.source;
    this.type = event.type;
    this.subject = event.subject ?? undefined;
    this.time = event.time ?? undefined;
    this.contentType = event.datacontenttype ?? undefined;
    this.schema = event.dataschema ?? undefined;
    this.extensions = Object.fromEntries(event.extensions);
    this.bytes = event.data ?? undefined;
    this.subscription = subscription;
    this.attempt = attempt;
    this.replay = replay;
  }

  get causation() {
    return this.extensions.causationid;
  }

  get correlation() {
    return this.extensions.correlationid;
  }

  get hops() {
    return Number(this.extensions.hops ?? 0);
  }

  /** The payload: JSON as its value, text as a string, anything else as bytes. */
  payload() {
    if (this.bytes === undefined) return undefined;
    const mediaType = this.contentType ?? "application/json";
    try {
      if (isJson(mediaType)) return decodeJson(this.bytes);
      return isText(mediaType) ? decode(this.bytes) : this.bytes;
    } catch (error) {
      // Another attempt would fail on the same data.
      throw reject(`the event's data is invalid: ${error.message}`);
    }
  }
}
