/**
 * Requests to other services. The host sends them, to hosts that the operator grants in the plugin's sidecar:
 * `[grants] http = ["api.example.com"]`.
 *
 * ```js
 * import * as client from "@sandbus/sdk/client";
 *
 * const { chf } = client.get("https://api.example.com/rates").success().json();
 * ```
 *
 * A request is no part of the transaction that a delivery is: one that fails after it, and is tried again, sends it
 * again. Give what you send the event's id, so that its receiver can tell.
 */
import type { Duration, HeadersToSend } from "./index.js";

/** A request besides its method and address, with one of `json`, `text` and `body`. */
export interface RequestOptions {
  /** A list of values is as many headers. */
  headers?: HeadersToSend;
  json?: unknown;
  text?: string;
  body?: Uint8Array;
  /** How long to wait for the whole answer. The handler's own time ends it sooner. */
  timeout?: Duration;
}

/** What a request is answered. */
export interface Response {
  readonly status: number;
  /** By names in lower case; the values of one that comes more than once are joined. */
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
  /** Whether the status is from 200 to 299. */
  readonly ok: boolean;
  /** The answer itself, if its status is from 200 to 299; else it throws a `SendError`. */
  success(): this;
  header(name: string): string | undefined;
  /** The values of a header, one for each time that it comes, such as of `set-cookie`. */
  headerValues(name: string): string[];
  text(): string;
  json<T = any>(): T;
}

/**
 * There is no answer, or not one that was wanted. Uncaught, it has the delivery tried again where waiting can help:
 * not after a denial, nor after a status from 400 to 499 but for 408, 425 and 429.
 */
export declare class SendError extends Error {
  readonly kind: "denied" | "invalid" | "timeout" | "unreachable" | "status";
  /** Of an answer that was not wanted. */
  readonly status?: number;
  /** Whether waiting cannot help. */
  readonly permanent: boolean;
}

/** Sends a request and waits for the whole answer, whatever its status. */
export declare function send(method: string, url: string, options?: RequestOptions): Response;
export declare function get(url: string, options?: RequestOptions): Response;
export declare function post(url: string, options?: RequestOptions): Response;
export declare function put(url: string, options?: RequestOptions): Response;
export declare function patch(url: string, options?: RequestOptions): Response;
declare function remove(url: string, options?: RequestOptions): Response;
export { remove as delete };
