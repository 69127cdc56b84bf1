/**
 * Write Sandbus event handlers in JavaScript or TypeScript.
 *
 * ```js
 * import { log, plugin, state } from "@sandbus/sdk";
 *
 * export default plugin({ name: "welcome" })
 *   .on("user.registered", { retry: { maxAttempts: 5 } }, (user) => {
 *     log.info(`Welcome, ${user.name}!`);
 *     state.add("welcomed");
 *   })
 *   .route("POST /hello/{name}", (request) => ({ json: { hello: request.params.name } }));
 * ```
 *
 * A handler's effects, such as events that it publishes and state that it writes, are committed together with the
 * acknowledgement of its event. A handler that throws or times out leaves no effects, and its delivery is retried.
 */

/** A duration: milliseconds, or a string such as "500ms", "5s", "2m", "1h" or "7d". */
export type Duration = number | string;

/** A value that JSON can represent. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json | undefined };

/** The description of a plugin. Defaults come from package.json. */
export interface PluginOptions {
  /** Unique in a host: lower-case letters, digits and `-`. */
  name?: string;
  version?: string;
  /** The plugin's purpose, in a sentence. */
  description?: string;
  /** Patterns of the event types that the plugin publishes. Publishing any other type is refused. */
  publishes?: string[];
  /** Patterns of the event types that the plugin subscribes to at run time. */
  subscribes?: string[];
  /** The configuration keys, each with its default, or null for a key without a default. */
  config?: Record<string, string | null | { default?: string | null; description?: string }>;
}

/** A filter of the CloudEvents Subscriptions API, by attributes. */
export type Filter =
  | { exact: Record<string, string> }
  | { prefix: Record<string, string> }
  | { suffix: Record<string, string> }
  | { all: Filter[] }
  | { any: Filter[] }
  | { not: Filter };

/** When a failed delivery is retried. The host has a default for each field. */
export interface RetryPolicy {
  /** The number of attempts before the delivery becomes a dead letter. */
  maxAttempts?: number;
  /** The delay before the second attempt. */
  initialDelay?: Duration;
  /** The factor by which the delay grows with each further attempt; at least 1. */
  backoffMultiplier?: number;
  /** The maximum delay. */
  maxDelay?: Duration;
  /** The random share of each delay, from 0 to 1. */
  jitter?: number;
  /** Causes of failure that are not retried. */
  nonRetryable?: ("trap" | "timeout" | "out-of-memory" | "webhook" | "retry" | "exception" | "request")[];
}

/** The options that subscriptions have, whether they are declared or created at run time. */
export interface SubscriptionRules {
  /** Filters on the events' attributes; all must match. */
  filters?: Filter[];
  /** Where a new subscription starts in the log: "now" by default, at a time, or at a position. */
  start?: "now" | "beginning" | Date | { position: number };
  /** The limit of deliveries in flight. */
  concurrency?: number;
  /** The key by which events stay in order: an attribute's name, or a JSON pointer into the data (`/customer/id`). */
  orderingKey?: string;
  /** Whether a dead letter releases or parks the later deliveries with its ordering key. */
  deadLetterPolicy?: "release" | "park";
  retry?: RetryPolicy;
}

/** The options of an event handler's subscription. */
export interface SubscriptionOptions extends SubscriptionRules {
  /** The subscription's name; derived from the pattern by default. */
  name?: string;
  /** The backlog at which publishers are refused until deliveries have been handled. */
  maxBacklog?: number;
  /**
   * The schema of the event's data: a Standard Schema (zod, valibot, arktype), which may also transform the data, or a
   * JSON Schema. If the data does not fit, the delivery becomes a dead letter at once and the handler is not called.
   * The handler's first parameter has the schema's type.
   */
  schema?: StandardSchema | JsonSchema;
  /** The timeout of one invocation. */
  timeout?: Duration;
}

/** A schema of a library that implements Standard Schema: https://standardschema.dev. It must be synchronous. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string;
        readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
      }[];
    };

/**
 * A JSON Schema of draft 2020-12. References must be within the schema (`#/$defs/…`). Unsupported keywords, such as
 * `unevaluatedProperties`, are refused when the handler is declared. `format` is an annotation.
 */
export type JsonSchema = boolean | JsonSchemaObject;

export interface JsonSchemaObject {
  readonly type?: JsonType | readonly JsonType[];
  readonly properties?: { readonly [name: string]: JsonSchema };
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly [keyword: string]: unknown;
}

type JsonType = "string" | "number" | "integer" | "boolean" | "null" | "object" | "array";

/**
 * The type of data that fits a schema. For a JSON Schema it follows from the common keywords, and is otherwise `any`.
 */
export type Infer<Schema> = Schema extends { readonly "~standard": { readonly types?: infer Types } }
  ? NonNullable<Types> extends { readonly output: infer Output }
    ? Output
    : any
  : Schema extends { readonly const: infer Value }
    ? Value
    : Schema extends { readonly enum: readonly (infer Value)[] }
      ? Value
      : Schema extends { readonly type: readonly (infer Type)[] }
        ? Type extends JsonType
          ? OfType<Type, Schema>
          : any
        : Schema extends { readonly type: infer Type extends JsonType }
          ? OfType<Type, Schema>
          : any;

type OfType<Type extends JsonType, Schema> = Type extends "string"
  ? string
  : Type extends "number" | "integer"
    ? number
    : Type extends "boolean"
      ? boolean
      : Type extends "null"
        ? null
        : Type extends "array"
          ? Schema extends { readonly items: infer Items }
            ? Infer<Items>[]
            : any[]
          : Schema extends { readonly properties: infer Properties }
            ? WithProperties<Properties, Schema extends { readonly required: readonly (infer Name)[] } ? Name : never>
            : Record<string, any>;

type WithProperties<Properties, Required> = {
  [Name in keyof Properties as Name extends Required ? Name : never]: Infer<Properties[Name]>;
} & {
  [Name in keyof Properties as Name extends Required ? never : Name]?: Infer<Properties[Name]>;
};

export interface ScheduleOptions {
  /** The schedule's name; the name of the handler's function by default. */
  name?: string;
  /** An IANA name, such as "Europe/Vienna"; UTC by default. */
  timezone?: string;
  /** The policy for times at which the plugin did not run, or for which the host is more than a minute late. */
  missed?: "run-once" | "skip" | "catch-up";
  timeout?: Duration;
  retry?: RetryPolicy;
  /** The payload of its events. */
  data?: Json;
}

/** An event with its attributes and its delivery. */
export interface Event {
  /** The id, which is the same in every attempt. Pass source and id to other services as an idempotency key. */
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  /** When the event happened, in RFC 3339. */
  readonly time?: string;
  readonly contentType?: string;
  readonly schema?: string;
  readonly extensions: Record<string, string>;
  /** The payload as it was received. */
  readonly bytes?: Uint8Array;
  /** The name of the subscription that the delivery belongs to. */
  readonly subscription: string;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** Whether the delivery belongs to a replay. */
  readonly replay: boolean;
  /** The id of the event that was being handled when this one was published; `causationsource` is its source. */
  readonly causation?: string;
  /**
   * The correlation id of the cause tree: the id of its first event, whose source is `correlationsource`. If a client
   * waits for a reply, it is an id that the host created.
   */
  readonly correlation?: string;
  /** The number of steps from the first event of the cause tree. */
  readonly hops: number;
}

/** A scheduled time at which a handler runs. */
export interface Tick {
  /** The scheduled time. It is before now if the time was missed, or if the delivery is retried. */
  due: Date;
  attempt: number;
  event: Event;
}

/** The names of a route's parameters: `"name"` for `"POST /hello/{name}"`. */
type Parameters<Route extends string> = Route extends `${string}{${infer Name}}${infer Rest}`
  ? (Name extends `*${infer Tail}` ? Tail : Name) | Parameters<Rest>
  : never;

/** A request on one of the plugin's routes. */
export interface Request<Route extends string = string> {
  /** In upper case. */
  readonly method: string;
  /** The route that matched. */
  readonly route: string;
  /** The path, percent-encoded as it was sent. */
  readonly path: string;
  /** The route's parameters, decoded. */
  readonly params: string extends Route ? Record<string, string> : Record<Parameters<Route>, string>;
  /** The query's parameters, decoded. If a parameter is repeated, the first value counts. */
  readonly query: Record<string, string>;
  readonly queryString: string;
  /** By name in lower case. The values of a repeated header are joined. */
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
  header(name: string): string | undefined;
  /** All values of a header, which may be repeated. */
  headerValues(name: string): string[];
  text(): string;
  /** Parses the body as JSON. Throws a `Problem` with status 415 or 422 if the body is not JSON. */
  json<T = any>(): T;
}

/**
 * Headers to send, as an object or as pairs. A list of values becomes one header for each value:
 * `{ "set-cookie": ["a=1", "b=2"] }`.
 */
export type HeadersToSend =
  Record<string, HeaderValue | readonly HeaderValue[] | undefined> | Iterable<readonly [string, HeaderValue]>;
export type HeaderValue = string | number | boolean;

/** A response, with status 200 by default. If a handler returns nothing, the status is 204. */
export interface Response {
  /** 200 to 599. */
  status?: number;
  headers?: HeadersToSend;
  json?: unknown;
  text?: string;
  body?: Uint8Array;
}

/**
 * A plugin, the default export of its module. All functions of this SDK are synchronous, so a handler need not be
 * asynchronous. An asynchronous handler ends when its promise is settled and all other work that it started is done,
 * including microtasks. A rejection that is not handled fails the attempt, and so does a promise that never settles.
 */
export declare class Plugin {
  /** Handles the events whose type matches a pattern, such as `user.registered`, `user.*` or `order.>`. */
  on<T = any>(pattern: string, handler: (data: T, event: Event) => void): this;
  on<const Schema extends StandardSchema | JsonSchema>(
    pattern: string,
    options: SubscriptionOptions & { schema: Schema },
    handler: (data: Infer<Schema>, event: Event) => void,
  ): this;
  on<T = any>(pattern: string, options: SubscriptionOptions, handler: (data: T, event: Event) => void): this;

  /**
   * Runs a handler at the times of a cron expression: `schedule("0 9 * * *", { name: "daily" }, handler)`. The name
   * defaults to the function's.
   */
  schedule(cron: string, handler: (tick: Tick) => void): this;
  schedule(cron: string, options: ScheduleOptions, handler: (tick: Tick) => void): this;

  /** Serves a route, such as "POST /hello/{name}". The response is sent after the effects are durable. */
  route<Route extends string>(
    route: Route,
    handler: (request: Request<Route>) => Response | void | Promise<Response | void>,
  ): this;
}

export declare function plugin(options?: PluginOptions): Plugin;

/** The options of an event to publish. */
export interface MessageOptions {
  subject?: string;
  extensions?: Record<string, string | number | boolean>;
  /** A delay before the event enters the log. */
  delay?: Duration;
  /** The time at which the event enters the log. */
  at?: Date | string;
  /** By default application/json, and application/octet-stream for bytes. */
  contentType?: string;
  schema?: string;
}

/** Publishes an event with this invocation's commit, and returns its id, which is the same at every attempt. */
export declare function publish(type: string, data?: unknown, options?: MessageOptions): string;

/** Publishes several events, all or none, and returns their ids in order. */
export declare function publishMany(events: ({ type: string; data?: unknown } & MessageOptions)[]): string[];

/**
 * Cancels a delayed event that this plugin published. It is not an error if the event has already entered the log or
 * does not exist.
 */
export declare function cancel(id: string): void;

/**
 * Makes the client wait for a reply. This request must have published the event `id`. After the commit, the client gets
 * the data of the first event in the same cause tree that matches the pattern. If no such event arrives within the
 * timeout (5 s by default, at most a minute), the client gets a 504. The reply's extensions can set the status
 * (`httpstatus: "402"`) and headers (`httpheaders: '{"retry-after":"30"}'`).
 */
export declare function reply(id: string, pattern: string, timeout?: Duration): Response;

/** A subscription that is created at run time. */
export interface RuntimeSubscription extends SubscriptionRules {
  /** Unique among those that this plugin created. */
  name: string;
  pattern: string;
  /** The target: a plugin's handlers, or an HTTP endpoint whose server the operator must have granted. */
  to: { plugin: string } | { webhook: string; secret?: string; handshake?: boolean };
}

/**
 * Creates a durable subscription. If this plugin has already created one with this name, the new rules replace the old
 * ones, and the subscription keeps its position.
 */
export declare function subscribe(subscription: RuntimeSubscription): void;

/** Deletes a subscription that this plugin created. A subscription that does not exist is not an error. */
export declare function unsubscribe(name: string): void;

/**
 * The current time. In a handler, `Date.now()` returns it, too. Values at the top level of a module, such as `const
 * started = Date.now()` or `const id = Math.random()`, are computed once, when the component is built, and are the same
 * in every instance.
 */
export declare function now(): Date;

/** Cryptographically secure random bytes. In a handler, `Math.random()` is seeded with them for each invocation. */
export declare function randomBytes(count: number): Uint8Array;

/** The plugin's configuration. */
export declare const config: {
  get(key: string): string | undefined;
  /** The value of a required key; throws if the key has no value. */
  require(key: string): string;
};

/** Log lines. The host adds the plugin's name, the event's id and the attempt. */
export declare const log: Record<"trace" | "debug" | "info" | "warn" | "error", (...values: unknown[]) => void>;

/**
 * The plugin's own durable state. Reads see one snapshot and this invocation's own writes. If another invocation
 * changes a value that this one has read, this invocation is discarded and runs again. So reading, changing and writing
 * a value is safe without locks.
 */
export declare const state: {
  /** The value of a key, parsed as JSON. */
  get<T = any>(key: string): T | undefined;
  /** Sets the value of a key, as JSON. */
  set(key: string, value: unknown): void;
  getBytes(key: string): Uint8Array | undefined;
  setBytes(key: string, bytes: Uint8Array): void;
  delete(key: string): void;
  exists(key: string): boolean;
  /**
   * Adds to a number that starts at zero, and returns the sum. This counts as a read: if another invocation changes the
   * number first, this one runs again. So no two invocations get the same sum. A sum beyond 2^53 throws and is not
   * rounded.
   */
  increment(key: string, delta?: number): number;
  /**
   * Adds to a number that starts at zero, and returns nothing. Concurrent additions are merged and do not make an
   * invocation run again. Use it for counters; `get` reads them.
   */
  add(key: string, delta?: number): void;
  /**
   * The next number of a sequence, which starts at 1. No two calls return the same number, and a call does not make
   * an invocation run again. An invocation that fails leaves a gap. Use it for ids.
   */
  sequence(name: string): number;
  /** All keys that start with a prefix, in ascending order. */
  keys(prefix?: string): string[];
};

/** Throw it in a handler to retry the delivery: `throw retry("the mail server is down", { delay: "1m" })`. */
export declare class Retry extends Error {
  constructor(reason: string, options?: { delay?: Duration });
}

/** Throw it in a handler to make the delivery a dead letter at once: `throw reject("no such user")`. */
export declare class Reject extends Error {
  constructor(reason: string);
}

/**
 * The state refused a call. If the handler does not catch it, the delivery is rejected. If the kind is "other", the
 * delivery is retried, because another attempt may succeed.
 */
export declare class StateError extends Error {
  readonly kind: "unreadable" | "not-a-number" | "out-of-range" | "limit" | "other";
}

/** The bus refused a call. If the handler does not catch it, the delivery is rejected. */
export declare class BusError extends Error {
  readonly kind: "denied" | "invalid" | "limit";
}

export declare function retry(reason: string, options?: { delay?: Duration }): Retry;
export declare function reject(reason: string): Reject;

/** A problem (RFC 9457). If a route's handler throws it, it is the response, and the request has no effects. */
export declare class Problem extends Error {
  /** The status is from 400 to 599. */
  constructor(status: number, detail: string, options?: { code?: string });
  readonly status: number;
  readonly code?: string;
}
