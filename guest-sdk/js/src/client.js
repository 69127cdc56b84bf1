// Requests to other services. The host sends them, to hosts that the operator grants in the plugin's sidecar.

import { milliseconds } from "./duration.js";
import { identifier } from "./fit.js";
import { SendError } from "./failure.js";
import { host } from "./host.js";
import { fields, joined, values } from "./headers.js";
import { content } from "./http.js";
import { decode, decodeJson } from "./text.js";
import { checkNames } from "./rules.js";

export { SendError };

export const OPTIONS = ["headers", "json", "text", "body", "timeout"];

/** Sends a request and waits for the whole answer, whatever its status. */
export function send(method, url, options = {}) {
  checkNames(options, OPTIONS, `${method} ${url}`);
  const [mediaType, body] = content(options);
  const headers = fields(options.headers);
  if (mediaType !== null && !headers.some(([name]) => name === "content-type"))
    headers.push(["content-type", mediaType]);
  const timeoutMs = milliseconds(options.timeout, "timeout");
  const request = {
    method: identifier(method, "the method of a request").toUpperCase(),
    url: identifier(addressOf(url), "the address of a request"),
    headers,
    body,
    timeoutMs,
  };
  return new Response(host().send(request));
}

/** The text of an address, which may be a URL object where the engine has them. */
function addressOf(url) {
  return typeof URL === "function" && url instanceof URL ? url.href : url;
}

export function get(url, options) {
  return send("GET", url, options);
}

export function post(url, options) {
  return send("POST", url, options);
}

export function put(url, options) {
  return send("PUT", url, options);
}

export function patch(url, options) {
  return send("PATCH", url, options);
}

function remove(url, options) {
  return send("DELETE", url, options);
}

export { remove as delete };

/** How much of a body is told. */
const EXCERPT = 200;

/** What a request is answered. */
export class Response {
  /** The headers as they came. */
  #received;

  constructor({ status, headers, body }) {
    this.status = status;
    this.#received = headers;
    this.headers = joined(headers);
    this.body = body;
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  /** The answer itself, if its status is from 200 to 299. */
  success() {
    if (this.ok) return this;
    let body = "";
    try {
      body = this.text().slice(0, EXCERPT);
    } catch {
      // What is no text is not told.
    }
    throw new SendError("status", `the request was answered ${this.status}${body && `: ${body}`}`, this.status);
  }

  header(name) {
    return this.headers[name.toLowerCase()];
  }

  headerValues(name) {
    return values(this.#received, name);
  }

  text() {
    return decode(this.body);
  }

  json() {
    return decodeJson(this.body);
  }
}
