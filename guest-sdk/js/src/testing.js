// A fake host for tests in plain node. Everything is in memory. As on a real host, a failed invocation leaves no
// effects. Filters, ordering, retries and limits are ignored.

import { BusError, SendError } from "./failure.js";
import { fields, joined, values } from "./headers.js";
import { content } from "./http.js";
import { install } from "./host.js";
import { sum } from "./numbers.js";
import { findRoute } from "./route.js";
import { isPattern, matches } from "./rules.js";
import { decode, decodeJson, encode, encodeJson, isJson } from "./text.js";
import { parseTime } from "./time.js";

/** 2030-01-01T00:00:00Z. */
const START = 1_893_456_000_000;

function checkPattern(pattern) {
  if (!isPattern(pattern)) throw new BusError("invalid", `\`${pattern}\` is not a pattern of event types`);
}

/** Whether the host sets an extension attribute, and so drops it from what a plugin publishes. */
function isHostAttribute(name) {
  const names = ["causationid", "causationsource", "hops", "authtype", "authid", "authclaims"];
  return names.includes(name) || name.startsWith("sandbus");
}

export class FakeHost {
  #plugin;
  #config;
  #now = START;
  #sequences = new Map();
  #effects = { state: new Map(), published: [], subscriptions: new Map(), replies: [] };
  #ids = 0;
  /** The ids of the events that the current invocation has published. */
  #publishedIds = [];
  /** The cause of the current invocation's failure; null if its handler chose the outcome. */
  #cause = null;
  #logs = [];
  /** Responses to requests that the plugin sends, by pattern. */
  #responses = [];
  #sent = [];

  constructor(plugin, { config = {}, state = {} } = {}) {
    // A build sets the name of a plugin that has none.
    this.#plugin = plugin.describedBy({ name: "test" });
    this.#config = config;
    for (const [key, value] of Object.entries(state)) this.#effects.state.set(key, encodeJson(value, key));
  }

  get published() {
    return this.#effects.published.map((event) => ({ ...event }));
  }

  get subscriptions() {
    return Object.fromEntries(this.#effects.subscriptions);
  }

  get replies() {
    return [...this.#effects.replies];
  }

  get state() {
    return Object.fromEntries([...this.#effects.state].map(([key, bytes]) => [key, readable(bytes)]));
  }

  get logs() {
    return this.#logs.map(({ message }) => message);
  }

  get now() {
    return new Date(this.#now);
  }

  advance(milliseconds) {
    this.#now += milliseconds;
  }

  get sent() {
    return [...this.#sent];
  }

  /** Sets the response to requests whose method and URL match the pattern, such as "GET https://api.example.com/*". */
  answers(pattern, response = {}) {
    this.#responses.push({ pattern, response });
    return this;
  }

  /** Delivers an event, and returns the outcome. */
  deliver(type, data, { subscription, attempt = 1, replay = false, ...attributes } = {}) {
    const name = subscription ?? this.#subscriptionOf(type);
    const event = this.#event(type, data, attributes);
    const acknowledged = () => ({ outcome: "ack" });
    return this.#ended(() => this.#plugin.deliver({ event, subscription: name, attempt, replay }), acknowledged, (failure) => {
      if (failure?.tag === "reject") return { outcome: "reject", reason: failure.val };
      if (failure?.tag === "retry") {
        const outcome = { outcome: "retry", reason: failure.val.reason, delayMs: failure.val.delayMs ?? undefined };
        return this.#cause === null ? outcome : { ...outcome, cause: this.#cause };
      }
      throw failure;
    });
  }

  /** Runs the handler of a schedule, for now or for another scheduled time. */
  tick(schedule, due = this.now, options = {}) {
    const { type } = this.#plugin.describe().schedules.find(({ name }) => name === schedule) ?? {};
    if (type === undefined) throw new Error(`the plugin has no schedule \`${schedule}\``);
    return this.deliver(type, undefined, { subscription: schedule, time: due.toISOString(), ...options });
  }

  /** Sends a request, such as "POST /hello/Ada?loud=1", to the route that matches it. */
  request(target, { json, body, headers = {} } = {}) {
    const [method, url] = target.split(/\s+/);
    const [path, query] = url.split(/\?(.*)/s);
    const { route, params } = this.#routeOf(method, path);
    const sent = json === undefined ? (body ?? "") : JSON.stringify(json);
    const all = json === undefined ? headers : { "content-type": "application/json", ...headers };
    const request = {
      method,
      route,
      path,
      params,
      query: query ?? null,
      headers: fields(all),
      body: typeof sent === "string" ? encode(sent) : sent,
    };
    return this.#ended(() => this.#plugin.respond(request), answered, (response) => {
      if (typeof response?.status === "number" && !(response instanceof Error)) return answered(response);
      throw response;
    });
  }

  /** Runs a call of the plugin. Returns a promise if the handler is asynchronous. */
  #ended(call, accept, refuse) {
    let returned;
    try {
      returned = this.run(call);
    } catch (thrown) {
      return refuse(thrown);
    }
    return returned instanceof Promise ? returned.then(accept, refuse) : accept(returned);
  }

  /**
   * Runs a function on this host. Its effects are discarded if it throws. Await an asynchronous function before you use
   * the host again.
   */
  run(act) {
    const before = structuredClone(this.#effects);
    this.#publishedIds = [];
    this.#cause = null;
    const previous = install(this.#imports);
    const failed = (error) => {
      this.#effects = before;
      throw error;
    };
    let returned;
    try {
      returned = act();
    } catch (error) {
      failed(error);
    } finally {
      if (!(returned instanceof Promise)) install(previous);
    }
    return returned instanceof Promise ? returned.catch(failed).finally(() => install(previous)) : returned;
  }

  #subscriptionOf(type) {
    const { subscriptions } = this.#plugin.describe();
    const found = subscriptions.filter(({ pattern }) => matches(pattern, type));
    if (found.length === 1) return found[0].name;
    const names = found.map(({ name }) => name).join(", ");
    throw new Error(
      found.length === 0
        ? `no subscription of the plugin matches events of type \`${type}\``
        : `several subscriptions match \`${type}\` (${names}): choose one with { subscription }`,
    );
  }

  #event(type, data, attributes) {
    const { id = "event", source = "/test", subject, time, contentType, extensions = {} } = attributes;
    const json = contentType === undefined || isJson(contentType);
    const bytes =
      data === undefined
        ? null
        : data instanceof Uint8Array
          ? data
          : json
            ? encodeJson(data, "the data")
            : encode(data);
    return {
      id,
      source,
      type,
      subject: subject ?? null,
      time: time ?? this.now.toISOString(),
      datacontenttype: contentType ?? mediaTypeOf(data),
      dataschema: null,
      extensions: Object.entries(extensions),
      data: bytes,
    };
  }

  #routeOf(method, path) {
    const routes = this.#plugin.describe().routes.filter((route) => route.method === method);
    const found = findRoute(routes.map((route) => route.path), path);
    if (found === null) throw new Error(`no route of the plugin matches ${method} ${path}`);
    return found;
  }

  /** The functions that the SDK calls in place of the host's imports. */
  #imports = {
    publish: (message) => this.#publish(message),
    publishMany: (messages) => messages.map((message) => this.#publish(message)),
    cancel: (id) => {
      this.#effects.published = this.#effects.published.filter((event) => event.id !== id || event.due <= this.now);
    },
    reply: (id, pattern, timeoutMs) => {
      if (!this.#publishedIds.includes(id))
        throw new BusError("invalid", `this invocation has published no event \`${id}\``);
      checkPattern(pattern);
      this.#effects.replies.push({ id, pattern, timeoutMs });
    },
    subscribe: (subscription) => {
      checkPattern(subscription.pattern);
      this.#effects.subscriptions.set(subscription.name, subscription);
    },
    unsubscribe: (name) => this.#effects.subscriptions.delete(name),
    stateGet: (key) => this.#effects.state.get(key),
    stateSet: (key, bytes) => this.#effects.state.set(key, bytes),
    stateDelete: (key) => this.#effects.state.delete(key),
    stateKeys: () => [...this.#effects.state.keys()].sort(),
    stateIncrement: (key, delta) => {
      const total = sum(this.#effects.state.get(key), delta, key);
      this.#effects.state.set(key, encode(String(total)));
      return Number(total);
    },
    stateAdd: (key, delta) => {
      const total = sum(this.#effects.state.get(key), delta, key);
      if (delta !== 0) this.#effects.state.set(key, encode(String(total)));
    },
    // Numbers are not returned when an invocation fails.
    stateSequence: (name) => {
      const number = (this.#sequences.get(name) ?? 0) + 1;
      this.#sequences.set(name, number);
      return number;
    },
    configGet: (key) => this.#config[key] ?? this.#plugin.describe().config.find(({ name }) => name === key)?.default,
    failed: (kind) => {
      // This host refuses no memory.
      this.#cause = kind === "out-of-memory" ? "exception" : kind;
    },
    log: (level, _, message) => this.#logs.push({ level, message }),
    now: () => this.#now,
    send: (request) => this.#send(request),
    randomBytes: (count) => Uint8Array.from({ length: count }, (_, index) => index),
  };

  #send({ method, url, headers, body }) {
    this.#sent.push({ method, url, headers: joined(headers), body });
    const target = `${method} ${url}`;
    const found = this.#responses.find(({ pattern }) =>
      pattern.endsWith("*") ? target.startsWith(pattern.slice(0, -1)) : target === pattern,
    );
    if (found === undefined)
      throw new SendError("unreachable", `the test has no response to \`${target}\`; set one with answers()`);
    const { status = 200, headers: answered = {}, ...rest } = found.response;
    const [mediaType, bytes] = content(rest);
    const all = mediaType === null ? answered : { "content-type": mediaType, ...answered };
    return { status, headers: fields(all), body: bytes };
  }

  #publish(message) {
    const granted = this.#plugin.describe().publishes.some((pattern) => matches(pattern, message.type));
    if (!granted)
      throw new BusError("denied", `the plugin does not declare \`${message.type}\` among what it publishes`);
    const id = `event-${++this.#ids}`;
    const { type, subject, datacontenttype, extensions, data } = message;
    const value =
      data === null ? undefined : datacontenttype !== null && isJson(datacontenttype) ? decodeJson(data) : data;
    const due = this.#due(message.due);
    this.#effects.published.push({
      id,
      type,
      subject: subject ?? undefined,
      extensions: Object.fromEntries(extensions.filter(([name]) => !isHostAttribute(name))),
      due,
      data: value,
    });
    this.#publishedIds.push(id);
    return id;
  }

  #due({ tag, val }) {
    const time =
      tag === "now" ? this.#now : tag === "after-ms" ? this.#now + val : Math.max(parseTime(val) ?? NaN, this.#now);
    if (Number.isNaN(time)) throw new BusError("invalid", `this is not a time: ${val}`);
    return new Date(time);
  }
}

/** The default media type of data. */
function mediaTypeOf(data) {
  if (data === undefined) return null;
  return data instanceof Uint8Array ? "application/octet-stream" : "application/json";
}

/** Parses a value of the state. Values that are not JSON stay bytes. */
function readable(bytes) {
  try {
    return decodeJson(bytes);
  } catch {
    return bytes;
  }
}

function answered({ status, headers, body }) {
  return {
    status,
    headers: joined(headers),
    headerValues: (name) => values(headers, name),
    body,
    text: () => decode(body),
    json: () => decodeJson(body),
  };
}
