/**
 * Requests to other services. The host sends them only to servers that the operator grants in the plugin's sidecar:
 * `[grants] http = ["api.example.com"]`.
 *
 * ```js
 * import * as client from "@sandbus/sdk/client";
 *
 * const { chf } = client.get("https://api.example.com/rates").success().json();
 * ```
 *
 * A request is sent at once and is not part of the transaction: if the delivery fails later and is retried, the request
 * is sent again. Send the event's source and id as an idempotency key.
 */
import type { Duration, HeadersToSend } from "./index.js";

/** The options of a request, with one of `json`, `text` and `body`. */
export interface RequestOptions {
  /** A list of values becomes one header for each value. */
  headers?: HeadersToSend;
  json?: unknown;
  text?: string;
  body?: Uint8Array;
  /** How long to wait for the whole response. The handler's own timeout may end it sooner. */
  timeout?: Duration;
}

/** The response to a request. */
export interface Response {
  readonly status: number;
  /** By name in lower case. The values of a repeated header are joined. */
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
  /** Whether the status is from 200 to 299. */
  readonly ok: boolean;
  /** Returns the response if its status is from 200 to 299, and otherwise throws a `SendError`. */
  success(): this;
  header(name: string): string | undefined;
  /** All values of a header that may be repeated, such as `set-cookie`. */
  headerValues(name: string): string[];
  text(): string;
  json<T = any>(): T;
}

/**
 * A request failed, or `success()` found another status. If the handler does not catch the error, the delivery is
 * retried. The delivery is rejected if the server is not granted, if the request is malformed, or if the status is from
 * 400 to 499, except 408, 425 and 429.
 */
export declare class SendError extends Error {
  readonly kind: "denied" | "invalid" | "timeout" | "unreachable" | "status";
  /** The status, if `success()` refused it. */
  readonly status?: number;
  /** Whether another attempt cannot succeed. */
  readonly permanent: boolean;
}

/** Sends a request and waits for the whole response. Any status is a response, and not an error. */
export declare function send(method: string, url: string, options?: RequestOptions): Response;
export declare function get(url: string, options?: RequestOptions): Response;
export declare function post(url: string, options?: RequestOptions): Response;
export declare function put(url: string, options?: RequestOptions): Response;
export declare function patch(url: string, options?: RequestOptions): Response;
declare function remove(url: string, options?: RequestOptions): Response;
export { remove as delete };
