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

/** Sends a request and waits for the whole response. Any status is a response, and not an error. */
export function send(method, url, options = {}) {
  checkNames(options, OPTIONS, `${method} ${url}`);
  const [mediaType, body] = content(options);
  const headers = fields(options.headers);
  if (mediaType !== null && !headers.some(([name]) => name === "content-type"))
    headers.push(["content-type", mediaType]);
  const timeoutMs = milliseconds(options.timeout, "timeout");
  const request = {
    method: identifier(method, "the method of a request").toUpperCase(),
    url: identifier(urlText(url), "the URL of a request"),
    headers,
    body,
    timeoutMs,
  };
  return new Response(host().send(request));
}

/** The text of a URL. It may be a URL object, on engines that have them. */
function urlText(url) {
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

/** The number of characters of a body that an error shows. */
const EXCERPT = 200;

/** The response to a request. */
export class Response {
  /** The headers as they were received. */
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

  /** Returns the response if its status is from 200 to 299, and otherwise throws a SendError. */
  success() {
    if (this.ok) return this;
    let body = "";
    try {
      body = this.text().slice(0, EXCERPT);
    } catch {
      // A body that is not text is not shown.
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
