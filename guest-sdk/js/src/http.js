// HTTP routes: requests and responses of handlers.

import { Reject, Retry, describe, kind } from "./failure.js";
import { DELIBERATE } from "./jobs.js";
import { bytes, carried, optionalText, whole } from "./fit.js";
import { fields, joined, values } from "./headers.js";
import { host } from "./host.js";
import { error as logError } from "./log.js";
import { show } from "./show.js";
import { decode, encode, encodeJson, isJson } from "./text.js";

/** A request on one of the plugin's routes. */
export class Request {
  /** The headers as they were received. */
  #received;

  constructor({ method, route, path, params, query, headers, body }) {
    this.method = method;
    this.route = route;
    this.path = path;
    this.params = Object.fromEntries(params);
    this.queryString = query ?? "";
    this.#received = headers;
    this.headers = joined(headers);
    this.body = body;
  }

  get query() {
    const pairs = this.queryString
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => {
        const [, name, value] = /^([^=]*)=?(.*)$/s.exec(pair);
        return [decodeForm(name), decodeForm(value)];
      });
    // The first value of a repeated parameter counts.
    return Object.fromEntries(pairs.reverse());
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
    const mediaType = this.header("content-type") ?? "application/json";
    if (!isJson(mediaType)) throw new Problem(415, `the body must be JSON, not ${mediaType}`);
    try {
      return JSON.parse(this.text());
    } catch (error) {
      throw new Problem(422, `the body is not JSON: ${error.message}`);
    }
  }
}

function decodeForm(text) {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

/** A problem (RFC 9457). If a route's handler throws it, it is the response, and the request has no effects. */
export class Problem extends Error {
  constructor(status, detail, { code } = {}) {
    super(show(detail));
    this.name = "Problem";
    this.status = whole(status, "the status of a problem", 400, 599);
    this.code = optionalText(code, "the code of a problem") ?? undefined;
  }

  toJSON() {
    return { code: this.code, detail: this.message, status: this.status, title: title(this.status) };
  }
}

Problem.prototype[DELIBERATE] = true;

const RESPONSE_FIELDS = ["status", "headers", "json", "text", "body"];

/** Statuses whose responses have no content (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5). */
const BODILESS = [204, 205, 304];

/** Converts a handler's result to the contract's response. */
export function response(answer, what = "the response") {
  if (answer === undefined || answer === null) return { status: 204, headers: [], body: new Uint8Array() };
  // Returning a problem is a mistake: the handler meant to throw it.
  if (answer instanceof Error) throw answer;
  const unknown = unknownIn(answer);
  if (unknown.length > 0) {
    throw new TypeError(
      `${what}: the response has unknown fields: ${unknown.join(", ")}; a response has ` +
        `${RESPONSE_FIELDS.join(", ")}, and a value is wrapped in { json }`,
    );
  }
  const status = whole(answer.status ?? 200, `${what}: the status`, 200, 599);
  const headers = fields(answer.headers);
  const [mediaType, body] = content(answer, `${what}: `);
  if (BODILESS.includes(status) && ["json", "text", "body"].some((name) => answer[name] !== undefined) && body.length > 0)
    throw new TypeError(`${what}: a response with status ${status} has no body; leave it out, or answer 200`);
  if (mediaType !== null && !headers.some(([name]) => name === "content-type"))
    headers.push(["content-type", mediaType]);
  return { status, headers, body };
}

function unknownIn(answer) {
  if (typeof answer !== "object") return [`a ${typeof answer}`];
  if (Array.isArray(answer)) return ["an array"];
  if (ArrayBuffer.isView(answer)) return ["bytes"];
  const tag = Object.prototype.toString.call(answer).slice(8, -1);
  return tag === "Object" ? Object.keys(answer).filter((name) => !RESPONSE_FIELDS.includes(name)) : [`a ${tag}`];
}

/** The body, and its media type if it is known. */
export function content(answer, what = "") {
  const { json, text, body } = answer;
  const given = ["json", "text", "body"].filter((name) => answer[name] !== undefined && answer[name] !== null);
  if (given.length > 1) throw new TypeError(`${what}choose one of ${given.join(" and ")}`);
  if (json === undefined && Object.hasOwn(answer, "json"))
    throw new TypeError(`${what}\`json\` is undefined, which JSON does not have; write null, or omit it`);
  if (json !== undefined) return ["application/json", encodeJson(json, `${what}the body`)];
  if (text !== undefined && text !== null) {
    if (typeof text === "object" || typeof text === "function" || typeof text === "symbol")
      throw new TypeError(`${what}\`text\` must be a string, not ${Array.isArray(text) ? "an array" : `a ${typeof text}`}`);
    return ["text/plain; charset=utf-8", encode(String(text))];
  }
  return [null, body === undefined || body === null ? new Uint8Array() : bytes(body, `${what}the body`)];
}

/** Converts a value that a handler threw to a response. */
export function errorResponse(thrown, what = "the handler") {
  const problem = carried(asProblem(thrown, what).toJSON());
  const body = encodeJson(problem, "the problem");
  return { status: problem.status, headers: [["content-type", "application/problem+json"]], body };
}

function asProblem(thrown, what) {
  if (thrown instanceof Problem) return thrown;
  if (thrown instanceof Retry) return new Problem(503, thrown.message);
  if (thrown instanceof Reject) return new Problem(422, thrown.message);
  // The message of an exception may reveal internals, such as a query or a URL, so it only goes to the log.
  logError(`${what} failed: ${describe(thrown)}`);
  if (kind(thrown) === "out-of-memory") host().failed("out-of-memory");
  return new Problem(500, "the handler failed; see the host's log", { code: "handler-failed" });
}

/** Names of statuses (RFC 9110, section 15). */
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

function title(status) {
  return TITLES[status] ?? (status < 500 ? "Client Error" : "Server Error");
}
