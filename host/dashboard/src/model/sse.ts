/** Reads server-sent events (HTML standard, section 9.2.6). */

/** A server-sent event. */
export interface SentEvent {
  /** The kind; `message` if the event has none. */
  kind: string;
  data: string;
}

/** Reads the events of a stream from its text, in pieces of any size. */
export class SentEventReader {
  /** The id of the last complete event; undefined if there was none with an id. */
  lastId: string | undefined;
  private rest = "";
  private kind = "";
  private data: string[] = [];
  private id: string | undefined;

  /** Begins with the id of the last event that an earlier connection has read. */
  constructor(lastId?: string) {
    this.lastId = lastId;
  }

  /** Reads more text. Returns the events that it completes, in order. */
  read(text: string): SentEvent[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.readLine(line) ?? []);
  }

  private readLine(line: string): SentEvent | null {
    if (line === "") {
      return this.complete();
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") {
      this.kind = value;
    } else if (field === "data") {
      this.data.push(value);
    } else if (field === "id" && !value.includes("\0")) {
      this.id = value;
    }
    return null;
  }

  private complete(): SentEvent | null {
    if (this.id !== undefined) {
      this.lastId = this.id;
    }
    const event = { kind: this.kind === "" ? "message" : this.kind, data: this.data.join("\n") };
    const hasData = this.data.length > 0;
    this.kind = "";
    this.data = [];
    this.id = undefined;
    return hasData ? event : null;
  }
}
