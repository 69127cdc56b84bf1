// HTTP routes: what a handler takes, and what it answers.

import { Reject, Retry, describe } from "./failure.js";
import { bytes, carried, whole } from "./fit.js";
import { fields, joined, values } from "./headers.js";
import { error as logError } from "./log.js";
import { decode, encode, encodeJson, isJson } from "./text.js";

/** A request on one of the plugin's routes. */
export class Request {
  /** The headers as they came. */
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
    // Of a parameter that is given twice the first counts.
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
    if (!isJson(mediaType)) throw new Problem(415, `the body must be JSON, and is ${mediaType}`);
    try {
      return JSON.parse(this.text());
    } catch (error) {
      throw new Problem(422, `the body is no JSON: ${error.message}`);
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

/** A problem (RFC 9457). Thrown by a route's handler, it is the answer, and the request has no effects. */
export class Problem extends Error {
  constructor(status, detail, { code } = {}) {
    super(String(detail));
    this.name = "Problem";
    this.status = whole(status, "the status of a problem", 200, 599);
    this.code = code;
  }

  toJSON() {
    return { code: this.code, detail: this.message, status: this.status, title: title(this.status) };
  }
}

const ANSWER = ["status", "headers", "json", "text", "body"];

/** What a handler returned, as the contract has it. */
export function response(answer) {
  if (answer === undefined || answer === null) return { status: 204, headers: [], body: new Uint8Array() };
  const unknown =
    typeof answer === "object" ? Object.keys(answer).filter((name) => !ANSWER.includes(name)) : [typeof answer];
  if (unknown.length > 0) {
    throw new TypeError(
      `a route answers with ${ANSWER.join(", ")}, and this one with ${unknown.join(", ")}; wrap a value in { json }`,
    );
  }
  const headers = fields(answer.headers);
  const [mediaType, body] = content(answer);
  if (mediaType !== null && !headers.some(([name]) => name === "content-type"))
    headers.push(["content-type", mediaType]);
  return { status: whole(answer.status ?? 200, "the status of a response", 200, 599), headers, body };
}

/** A body, and its media type where it is known. */
export function content({ json, text, body }) {
  if (json !== undefined) return ["application/json", encodeJson(json, "the body")];
  if (text !== undefined) return ["text/plain; charset=utf-8", encode(String(text))];
  return [null, body === undefined || body === null ? new Uint8Array() : bytes(body, "the body")];
}

/** What a handler threw, as the response that it means. */
export function refusal(thrown) {
  const problem = carried(asProblem(thrown).toJSON());
  const body = encodeJson(problem, "the problem");
  return { status: problem.status, headers: [["content-type", "application/problem+json"]], body };
}

function asProblem(thrown) {
  if (thrown instanceof Problem) return thrown;
  if (thrown instanceof Retry) return new Problem(503, thrown.message);
  if (thrown instanceof Reject) return new Problem(422, thrown.message);
  logError(describe(thrown));
  return new Problem(500, thrown instanceof Error ? thrown.message : "the handler failed");
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
