// A plugin: its declarations become its descriptor, and it dispatches the host's calls to its handlers.

import { Event } from "./event.js";
import { failure, kind, reject, visible } from "./failure.js";
import { EXACT, carried, identifier, optionalText, optionalWhole } from "./fit.js";
import { host } from "./host.js";
import { completed } from "./jobs.js";
import { Problem, Request, errorResponse, response } from "./http.js";
import { milliseconds } from "./duration.js";
import { parseRoute } from "./route.js";
import { SHARED, checkNames, matches, oneOf, sharedRules } from "./rules.js";
import { fitting } from "./schema.js";
import { encodeJson } from "./text.js";

export const PLUGIN = ["name", "version", "description", "publishes", "subscribes", "config"];
export const SUBSCRIPTION = ["name", "schema", "maxBacklog", "timeout", ...SHARED];
export const SCHEDULE = ["name", "timezone", "missed", "timeout", "retry", "data"];

export function plugin(options = {}) {
  return new Plugin(options);
}

export class Plugin {
  #options;
  /** The name, version and description in package.json, as defaults for the options. */
  #package = {};
  #subscriptions = [];
  #routes = [];
  #schedules = [];

  constructor(options) {
    checkNames(options, PLUGIN, "plugin");
    this.#options = options;
  }

  on(pattern, ...rest) {
    identifier(pattern, "on: the pattern");
    const [options, handler] = optionsAndHandler(rest, `on ${pattern}`);
    checkNames(options, SUBSCRIPTION, `on ${pattern}`);
    const fit = fitting(options.schema, `on ${pattern}`);
    const call = (event) => handler(fit(event.payload()), event);
    this.#subscribe(options.name ?? named(pattern), () => pattern, options, call);
    return this;
  }

  schedule(cron, ...rest) {
    identifier(cron, "schedule: the cron expression");
    if (typeof rest[0] === "string")
      throw new TypeError(`schedule: the name became an option; write schedule("${rest[0]}", { name: "${cron}" }, handler)`);
    const [options, handler] = optionsAndHandler(rest, `schedule ${cron}`);
    checkNames(options, SCHEDULE, `schedule ${cron}`);
    const { timezone, missed, data, ...rules } = options;
    const name = options.name ?? handler.name;
    if (name === "") throw new TypeError(`schedule ${cron}: give it a name: schedule(cron, { name: "daily" }, handler)`);
    this.#schedules.push({ name, cron, timezone, missed, data });
    const call = (event) => handler({ due: new Date(event.time), attempt: event.attempt, event });
    // The handler runs for one time after the other, in order.
    this.#subscribe(name, () => this.#scheduleType(name), { ...rules, concurrency: 1 }, call);
    return this;
  }

  route(route, ...rest) {
    const [options, handler] = optionsAndHandler(rest, `route ${route}`);
    checkNames(options, [], `route ${route}`);
    this.#routes.push({ ...parseRoute(route), handler });
    return this;
  }

  /** Sets the name, version and description that the options do not set. */
  describedBy(manifest) {
    this.#package = manifest;
    return this;
  }

  /** The descriptor of the plugin. */
  describe() {
    return carried(this.#described());
  }

  #described() {
    const { publishes = [], subscribes = [], config = {} } = this.#options;
    return {
      name: this.name,
      version: this.#options.version ?? this.#package.version ?? "0.0.0",
      description: this.#options.description ?? this.#package.description ?? null,
      routes: this.#routes.map(({ method, path }) => ({ method, path })),
      subscriptions: this.#subscriptions.map(({ name, pattern, rules }) => ({ name, pattern: pattern(), ...rules })),
      schedules: this.#schedules.map((schedule) => this.#describeSchedule(schedule)),
      publishes: [...publishes, ...this.#schedules.map(({ name }) => this.#scheduleType(name))],
      subscribes: [...subscribes],
      config: Object.entries(config).map(([name, value]) => configKey(name, value)),
    };
  }

  /**
   * Passes a delivery to the handler of its subscription. A value that the handler throws becomes the contract's
   * failure.
   */
  deliver(delivery) {
    return completed(() => this.#handlerOf(delivery)(new Event(delivery)), handled, (thrown) => {
      const failed = kind(visible(thrown));
      if (failed !== null) host().failed(failed);
      throw carried(failure(visible(thrown)));
    });
  }

  /** Passes a request to the handler of its route. A value that the handler throws becomes a response. */
  respond(request) {
    const what = `route ${request.method} ${request.route}`;
    const call = () => {
      const route = this.#routes.find(({ method, path }) => method === request.method && path === request.route);
      if (route === undefined) throw new Problem(404, "this plugin has no such route");
      return route.handler(new Request(request));
    };
    return completed(call, (answer) => response(answer, what), (thrown) => {
      throw errorResponse(visible(thrown), what);
    });
  }

  get name() {
    const name = this.#options.name ?? this.#package.name;
    if (name === undefined)
      throw new TypeError("the plugin has no name: set it in plugin({ name }) or in package.json");
    return name;
  }

  #subscribe(name, pattern, options, call) {
    if (this.#subscriptions.some((other) => other.name === name)) {
      throw new TypeError(`two handlers are called \`${name}\`; give one of them a \`name\``);
    }
    this.#subscriptions.push({ name, pattern, rules: subscriptionRules(name, options), call });
  }

  /**
   * The handler of a delivery: the one with the subscription's name if its pattern matches, otherwise the first one
   * whose pattern matches. A subscription created at run time can have the name of a declared one, so the name alone
   * does not decide. If no pattern matches, the declared pattern has changed since, and the name decides.
   */
  #handlerOf({ subscription, event }) {
    const named = ({ name }) => name === subscription;
    const takes = ({ pattern }) => matches(pattern(), event.type);
    const found =
      this.#subscriptions.find((own) => named(own) && takes(own)) ??
      this.#subscriptions.find(takes) ??
      this.#subscriptions.find(named);
    if (found === undefined) throw reject(`no handler takes events of type \`${event.type}\``);
    return found.call;
  }

  /** The type of a schedule's events. It contains the plugin's name, so that it differs from those of other plugins. */
  #scheduleType(schedule) {
    return `schedule.${this.name}.${schedule}`;
  }

  #describeSchedule({ name, cron, timezone, missed, data }) {
    return {
      name,
      cron,
      timezone: optionalText(timezone, `schedule ${name}: timezone`),
      missed: oneOf(missed, `schedule ${name}: missed`, ["run-once", "skip", "catch-up"]),
      type: this.#scheduleType(name),
      datacontenttype: data === undefined ? null : "application/json",
      data: data === undefined ? null : encodeJson(data, `the data of schedule ${name}`),
    };
  }
}

function optionsAndHandler(rest, what) {
  const [options, handler] = rest.length === 1 ? [{}, rest[0]] : rest;
  if (typeof handler !== "function") throw new TypeError(`${what}: the last argument is the handler, a function`);
  return [options, handler];
}

/** Checks the result of an event handler. Returning an error is a mistake: the handler meant to throw it. */
function handled(returned) {
  if (returned instanceof Error) throw returned;
}

/** Derives a subscription's name from its pattern: letters, digits and dashes. */
function named(pattern) {
  return pattern
    .replaceAll("*", "any")
    .replaceAll(">", "all")
    .replaceAll(/[^A-Za-z0-9_-]/g, "-");
}

/** Converts a subscription's options to the contract's record. They are checked when the handler is declared. */
function subscriptionRules(name, options) {
  return {
    ...sharedRules(options, `subscription ${name}`),
    maxBacklog: optionalWhole(options.maxBacklog, `subscription ${name}: maxBacklog`, 0, EXACT),
    timeoutMs: milliseconds(options.timeout, `subscription ${name}: timeout`),
  };
}

/** A configuration key. Its value is the default, `{ default, description }`, or null for a key without a default. */
function configKey(name, value) {
  const { default: fallback, description } = value !== null && typeof value === "object" ? value : { default: value };
  const what = `the configuration's key \`${name}\``;
  return { name, default: optionalText(fallback, what), description: optionalText(description, what) };
}
