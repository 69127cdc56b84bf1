/**
 * A fake host, to test a plugin in plain node.
 *
 * ```js
 * const host = new FakeHost(welcome);
 * assert.deepEqual(host.deliver("user.registered", { name: "Ada" }), { outcome: "ack" });
 * assert.deepEqual(host.state, { welcomed: 1 });
 * ```
 *
 * Everything is in memory. As on a real host, a failed invocation leaves no effects. Filters, ordering, retries and
 * limits are ignored.
 */
import type { HeadersToSend, Plugin, Response } from "./index.js";

export declare class FakeHost {
  constructor(plugin: Plugin, options?: { config?: Record<string, string>; state?: Record<string, unknown> });

  /**
   * Delivers an event to the subscription whose pattern matches its type, and returns the outcome. Await it if the
   * handler is `async`.
   */
  deliver(type: string, data?: unknown, options?: DeliveryOptions): Outcome;

  /** Runs the handler of a schedule, for now or for another scheduled time. */
  tick(schedule: string, due?: Date, options?: { attempt?: number }): Outcome;

  /**
   * Sends a request, such as "POST /hello/Ada?loud=1", to the route that matches it. Await the response if the handler
   * is `async`.
   */
  request(
    target: string,
    options?: { json?: unknown; body?: string | Uint8Array; headers?: HeadersToSend },
  ): RouteResponse;

  /**
   * Sets the response to requests that the plugin sends with "@sandbus/sdk/client". The pattern is a method and a URL,
   * such as "GET https://api.example.com/rates", or the start of one followed by `*`. Requests that match no pattern
   * fail.
   */
  answers(pattern: string, response?: Response): this;

  /** Runs a function on this host. Its effects are discarded if it throws. */
  run<T>(fn: () => T): T;

  /** Moves the clock forward. */
  advance(milliseconds: number): void;

  /** The time that handlers see. It starts at 2030-01-01T00:00:00Z. */
  readonly now: Date;
  /** The events that were published and not cancelled, in order. */
  readonly published: Published[];
  /** The state: the values by key. Values that are JSON are parsed, and others are bytes. */
  readonly state: Record<string, any>;
  /** The log lines, in order. */
  readonly logs: string[];
  /** The requests that were sent to other services, in order. */
  readonly sent: { method: string; url: string; headers: Record<string, string>; body: Uint8Array }[];
  /** The subscriptions that were created at run time, by name, in the form of the contract. */
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
  /** The subscription, if several match the type. */
  subscription?: string;
  attempt?: number;
  replay?: boolean;
}

export type Outcome =
  | { outcome: "ack" }
  /** The cause is an uncaught error or a failed request. It is absent if the handler asked for the retry. */
  | { outcome: "retry"; reason: string; delayMs?: number; cause?: "exception" | "request" }
  | { outcome: "reject"; reason: string };

export interface Published {
  id: string;
  type: string;
  subject?: string;
  extensions: Record<string, string>;
  /** The time at which the event enters the log. */
  due: Date;
  /** The payload: JSON as its value, anything else as bytes. */
  data: any;
}

/** The response of a route. */
export interface RouteResponse {
  status: number;
  /** By name in lower case. The values of a repeated header are joined. */
  headers: Record<string, string>;
  headerValues(name: string): string[];
  body: Uint8Array;
  text(): string;
  json(): any;
}
