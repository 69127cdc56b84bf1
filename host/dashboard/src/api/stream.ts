/** Follows the live stream of attempts and requests. */

import { SentEventReader, type SentEvent } from "../model/sse";
import { readAccess } from "./access";
import { ApiError, errorOf, urlOf, type Schemas } from "./client";

/** What a follower receives. */
export type Message = Schemas["StreamMessage"];

/** The state of the connection. `refused` if the host will not send the stream until the query changes. */
export type StreamState = "connecting" | "open" | "refused" | "closed";

/** What to do with messages and with changes of the connection. */
export interface Follower {
  message: (message: Message) => void;
  /** The error is why the host refuses the stream or does not answer. */
  state: (state: StreamState, error?: ApiError) => void;
}

/** How long a follower waits before it connects again, in milliseconds. */
const RECONNECT = 1_000;
/** The host sends something at least every 10 seconds. After this time in silence, the connection is broken. */
const SILENCE = 25_000;
const KINDS = ["attempt", "request", "lost"];

/**
 * Follows the stream until the returned function is called.
 *
 * Each new connection continues after the last message, so nothing is missed and nothing comes twice. `EventSource`
 * loses its place if the host answers with an error, such as 503 while it starts, so this reads the stream itself. A
 * place that the host does not know, because it has restarted, gives a `lost` message without a count.
 */
export function follow(query: Record<string, string | boolean | undefined>, on: Follower): () => void {
  const url = urlOf("/v1/stream", { params: { query } });
  const stop = new AbortController();
  void keepFollowing(url, on, stop.signal);
  return () => {
    stop.abort();
    on.state("closed");
  };
}

async function keepFollowing(url: string, on: Follower, stopped: AbortSignal): Promise<void> {
  const lost = new LostCounter();
  let lastId: string | undefined;
  let failure: ApiError | undefined;
  let wasOpen = false;
  while (!stopped.aborted) {
    on.state("connecting", failure);
    const reader = new SentEventReader(lastId);
    lost.connect();
    const take = (event: SentEvent) => {
      const message = KINDS.includes(event.kind) ? lost.take(JSON.parse(event.data) as Message) : null;
      if (message !== null && !stopped.aborted) {
        on.message(message);
      }
    };
    const opened = () => {
      if (wasOpen && lastId === undefined) {
        // Nothing has come yet that a new connection could continue after.
        on.message({ kind: "lost", count: null });
      }
      wasOpen = true;
      on.state("open");
    };
    failure = await readOnce(url, reader, take, opened, stopped);
    lastId = reader.lastId;
    if (stopped.aborted) {
      return;
    }
    if (failure?.code === "invalid-event-id") {
      lastId = undefined;
    } else if (failure !== undefined && failure.status >= 400 && failure.status < 500) {
      on.state("refused", failure);
      if (failure.status === 401) {
        await readAccess().catch(() => undefined);
      }
      if (failure.status !== 408 && failure.status !== 429) {
        return;
      }
    }
    await pause(RECONNECT, stopped);
  }
}

/** Reads one connection until it ends. Returns why it failed, or undefined if it was open before. */
async function readOnce(
  url: string,
  reader: SentEventReader,
  take: (event: SentEvent) => void,
  opened: () => void,
  stopped: AbortSignal,
): Promise<ApiError | undefined> {
  const connection = new AbortController();
  const abort = () => connection.abort();
  stopped.addEventListener("abort", abort);
  let silence = setTimeout(abort, SILENCE);
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (reader.lastId !== undefined) {
      headers["last-event-id"] = reader.lastId;
    }
    const response = await fetch(url, { headers, signal: connection.signal, cache: "no-store" });
    if (!response.ok || response.body === null) {
      return errorOf(response.status, await response.json().catch(() => null));
    }
    opened();
    const decoder = new TextDecoder();
    const body = response.body.getReader();
    for (;;) {
      const { done, value } = await body.read();
      if (done) {
        return undefined;
      }
      clearTimeout(silence);
      silence = setTimeout(abort, SILENCE);
      reader.read(decoder.decode(value, { stream: true })).forEach(take);
    }
  } catch (cause) {
    return new ApiError(0, "unreachable", `The host does not answer: ${String(cause)}`);
  } finally {
    clearTimeout(silence);
    stopped.removeEventListener("abort", abort);
    connection.abort();
  }
}

/**
 * Counts lost records once. A `lost` message has no id, so after a connection that breaks right behind one, the host
 * reports the same records again, with those that were lost since.
 */
export class LostCounter {
  /** The number of records lost since the last message with an id; null if unknown. */
  private lost: number | null = 0;
  private isFirst = true;

  /** A new connection begins. */
  connect(): void {
    this.isFirst = true;
  }

  /** The message with what is new in it; null if nothing is. */
  take(message: Message): Message | null {
    const isFirst = this.isFirst;
    const known = this.lost;
    this.isFirst = false;
    if (message.kind !== "lost") {
      this.lost = 0;
      return message;
    }
    const count = message.count ?? null;
    if (!isFirst || known === 0) {
      this.lost = count === null || known === null ? null : known + count;
      return message;
    }
    this.lost = count;
    if (count === null || known === null) {
      return known === null ? null : message;
    }
    return count > known ? { ...message, count: count - known } : null;
  }
}

function pause(millis: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stopped.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, millis);
    stopped.addEventListener("abort", end);
  });
}
