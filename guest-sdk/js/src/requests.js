// Sending by `wasi:http`.

import { handle } from "wasi:http/outgoing-handler@0.2.0";
import { Fields, OutgoingBody, OutgoingRequest, RequestOptions } from "wasi:http/types@0.2.0";

import { SendError } from "./failure.js";
import { thrownBy } from "./host.js";
import { encode, decode } from "./text.js";

/** As much as a stream takes in one call (wasi:io/streams, `blocking-write-and-flush`). */
const PART = 4_096;
/** As much as is read in one call. */
const READ = 65_536;
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/** Sends a request and waits for the whole answer. */
export function send({ method, url, headers, body, timeoutMs }) {
  const { scheme, authority, path } = parts(url);
  const request = new OutgoingRequest(fields(headers, body));
  const set = (what, call) => attempt(call, () => new SendError("invalid", `the request is malformed: its ${what}`));
  set("method", () => request.setMethod(METHODS.includes(method) ? { tag: method.toLowerCase() } : { tag: "other", val: method }));
  set("scheme", () => request.setScheme({ tag: scheme }));
  set("host", () => request.setAuthority(authority));
  set("path", () => request.setPathWithQuery(path));

  const failed = (error) => sendError(error, authority);
  const outgoing = request.body();
  const pending = attempt(() => handle(request, options(timeoutMs)), failed);
  write(outgoing, body);
  pending.subscribe().block();
  const response = attempt(() => answered(pending.get()), failed);
  return {
    status: response.status(),
    headers: response.headers().entries().map(([name, value]) => [name.toLowerCase(), text(value)]),
    body: read(response),
  };
}

/** Scheme, host with its port, and path with its query. */
function parts(url) {
  const [, scheme, authority, path] = /^(https?):\/\/([^/?#]+)([^#]*)/i.exec(url) ?? [];
  if (scheme === undefined) throw new SendError("invalid", `\`${url}\` is no http or https address`);
  return { scheme: scheme.toUpperCase(), authority, path: path.startsWith("/") ? path : `/${path}` };
}

function fields(headers, body) {
  const fields = new Fields();
  const all = body.length > 0 ? [...headers, ["content-length", String(body.length)]] : headers;
  for (const [name, value] of all) {
    const refused = (error) => new SendError("invalid", `the request is malformed: the header \`${name}\` (${error.tag})`);
    attempt(() => fields.append(name, encode(value)), refused);
  }
  return fields;
}

function options(timeoutMs) {
  if (timeoutMs === null) return null;
  const options = new RequestOptions();
  const nanoseconds = timeoutMs * 1_000_000;
  for (const set of ["setConnectTimeout", "setFirstByteTimeout", "setBetweenBytesTimeout"]) {
    // A host that knows no timeouts refuses them, and waits as long as it likes.
    attempt(() => options[set](nanoseconds), () => null);
  }
  return options;
}

function write(outgoing, body) {
  const stream = outgoing.write();
  for (let start = 0; start < body.length; start += PART) {
    try {
      stream.blockingWriteAndFlush(body.slice(start, start + PART));
    } catch (error) {
      const reason = thrownBy(error);
      // The other side may answer before it has read everything.
      if (reason.tag === "closed") break;
      throw broken("the request", reason);
    }
  }
  release(stream);
  // Whether all of it was read is seen by the answer.
  attempt(() => OutgoingBody.finish(outgoing, null), () => null);
}

/** A response that is ready: a result within a result, of which a binding may unwrap the outer one. */
function answered(ready) {
  let result = ready;
  while (result?.tag === "ok") result = result.val;
  if (result?.tag === "err") throw result.val;
  return result;
}

function read(response) {
  const [parts, stream] = [[], response.consume().stream()];
  for (;;) {
    try {
      parts.push(stream.blockingRead(READ));
    } catch (error) {
      const reason = thrownBy(error);
      if (reason.tag === "closed") return joined(parts);
      throw broken("the answer", reason);
    }
  }
}

function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

/** A stream ends before what it belongs to does. */
function release(resource) {
  resource[Symbol.dispose]?.();
}

/** A header's value. One that is not UTF-8 is taken byte by byte. */
function text(bytes) {
  try {
    return decode(bytes);
  } catch {
    return String.fromCharCode(...bytes);
  }
}

/** Calls, and throws what the contract's error means; nothing if that is null. */
function attempt(call, meaning) {
  try {
    return call();
  } catch (error) {
    const meant = meaning(thrownBy(error) ?? {});
    if (meant !== null) throw meant;
    return undefined;
  }
}

function broken(what, { val }) {
  return new SendError("unreachable", `${what} broke off: ${val?.toDebugString?.() ?? "the connection was lost"}`);
}

function sendError({ tag, val }, authority) {
  switch (tag?.toLowerCase()) {
    case "http-request-denied":
      return new SendError(
        "denied",
        `requests to \`${authority}\` are not granted; the sidecar does: [grants] http = ["${authority}"]`,
      );
    case "http-request-uri-invalid":
    case "http-request-method-invalid":
      return new SendError("invalid", "the request is malformed: its address or its method");
    case "connection-timeout":
    case "connection-read-timeout":
    case "http-response-timeout":
      return new SendError("timeout", "the request was not answered in time");
    case "internal-error":
      return new SendError("unreachable", `the request has no answer: ${val ?? "it failed"}`);
    default:
      return new SendError("unreachable", `the request has no answer: ${tag}`);
  }
}
