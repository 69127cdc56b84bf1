/**
 * A fake host, to test a plugin in plain node.
 *
 * ```js
 * const host = new FakeHost(welcome);
 * assert.deepEqual(host.deliver("user.registered", { name: "Ada" }), { outcome: "ack" });
 * assert.deepEqual(host.state, { welcomed: 1 });
 * ```
 *
 * Everything is in memory, and a failed run leaves no effects, as with the real host. Filters, ordering, retries
 * and limits are not looked at.
 */
import type { HeadersToSend, Plugin, Response } from "./index.js";

export declare class FakeHost {
  constructor(plugin: Plugin, options?: { config?: Record<string, string>; state?: Record<string, unknown> });

  /** Delivers an event to the subscription that takes its type, and returns how that ended. Await it if the handler is `async`. */
  deliver(type: string, data?: unknown, options?: DeliveryOptions): Outcome;

  /** Lets one of a schedule's times come. */
  tick(schedule: string, due?: Date, options?: { attempt?: number }): Outcome;

  /** Sends a request to the route that takes it, such as "POST /hello/Ada?loud=1". Await the answer of an `async` handler. */
  request(
    target: string,
    options?: { json?: unknown; body?: string | Uint8Array; headers?: HeadersToSend },
  ): RouteResponse;

  /**
   * Answers requests that the plugin sends by "@sandbus/sdk/client": "GET https://api.example.com/rates" exactly, or
   * all that begin so, where it ends with a star. Others have no answer.
   */
  answers(pattern: string, answer?: Response): this;

  /** Runs a function on this host. What it published and wrote is kept unless it throws. */
  run<T>(act: () => T): T;

  /** Moves the clock forward. */
  advance(milliseconds: number): void;

  /** The time as handlers see it, from 2030-01-01T00:00:00Z on. */
  readonly now: Date;
  /** What was published and not cancelled, in order. */
  readonly published: Published[];
  /** The state's values by their keys. */
  readonly state: Record<string, any>;
  /** What was logged, in order. */
  readonly logs: string[];
  /** The requests that were sent to other services, in order. */
  readonly sent: { method: string; url: string; headers: Record<string, string>; body: Uint8Array }[];
  /** The subscriptions that were made, by name, as the contract has them. */
  readonly subscriptions: Record<string, any>;
  /** The replies that routes asked for, in order. */
  readonly replies: { id: string; pattern: string; timeoutMs: number }[];
}

export interface DeliveryOptions {
  id?: string;
  source?: string;
  subject?: string;
  time?: string;
  contentType?: string;
  extensions?: Record<string, string>;
  /** Where several subscriptions take the type. */
  subscription?: string;
  attempt?: number;
  replay?: boolean;
}

export type Outcome =
  | { outcome: "ack" }
  /** The cause is left out where the handler asked for it: an error that it did not catch, or a failed request. */
  | { outcome: "retry"; reason: string; delayMs?: number; cause?: "exception" | "request" }
  | { outcome: "reject"; reason: string };

export interface Published {
  id: string;
  type: string;
  subject?: string;
  extensions: Record<string, string>;
  /** When it enters the log. */
  due: Date;
  /** The payload: JSON as its value, anything else as bytes. */
  data: any;
}

/** The response of a route. */
export interface RouteResponse {
  status: number;
  /** The values of one that comes more than once are joined. */
  headers: Record<string, string>;
  headerValues(name: string): string[];
  body: Uint8Array;
  text(): string;
  json(): any;
}
