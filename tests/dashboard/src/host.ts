/** Runs real hosts on folders of real components. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { components } from "../../../host/dashboard/src/api/schema";

/** The types of the admin API by name. */
export type Schemas = components["schemas"];

const ROOT = resolve(import.meta.dirname, "../../..");
const BINARY = resolve(process.env.SANDBUS_BIN ?? join(ROOT, "target/debug/sandbus"));
const GUESTS = resolve(process.env.SANDBUS_TEST_PLUGINS ?? join(ROOT, "target/test-guests"));

/** Lets everybody publish at the ingress. */
const OPEN_INGRESS = '[ingress]\nevents = { types = [">"], sources = ["*"], replies = true }\n';

/** What a host is started with. */
export interface Setup {
  /** The names of built guests, such as `registration`. */
  plugins?: string[];
  /** Sidecars by the name of the plugin. */
  sidecars?: Record<string, string>;
  /** Scenario files in the plugin folder, by name. */
  scenarios?: Record<string, string>;
  /** The text of `sandbus.toml`. It may contain anything but `[ingress]`. */
  config?: string;
}

/** An event to publish. The rest of its attributes have defaults. */
export interface NewEvent {
  type: string;
  id?: string;
  data?: unknown;
  [attribute: string]: unknown;
}

/** A role of a token. */
export type Role = "view" | "operate" | "deploy" | "admin";

/** The path of a built guest. */
export function guest(name: string): string {
  const path = join(GUESTS, `${name}.wasm`);
  if (!existsSync(path)) {
    throw new Error(`${path} does not exist; run \`cargo xtask guests\``);
  }
  return path;
}

/** A running host. */
export class Host {
  private published = 0;
  private token: string | undefined;

  private constructor(
    private readonly process: ChildProcess,
    private readonly directory: string,
    private readonly output: string[],
    /** The URL of the ingress. */
    readonly ingress: string,
    /** The URL of the admin interface and of the dashboard. */
    readonly admin: string,
  ) {}

  /** Starts a host, and waits until it is ready and its plugins are loaded. */
  static async start({ plugins = [], sidecars = {}, scenarios = {}, config = "" }: Setup = {}): Promise<Host> {
    const directory = mkdtempSync(join(tmpdir(), "sandbus-dashboard-"));
    mkdirSync(join(directory, "plugins"));
    mkdirSync(join(directory, "data"));
    shareCode(directory);
    for (const plugin of plugins) {
      copyFileSync(guest(plugin), join(directory, "plugins", `${plugin}.wasm`));
    }
    for (const [plugin, text] of Object.entries(sidecars)) {
      writeFileSync(join(directory, "plugins", `${plugin}.toml`), text);
    }
    mkdirSync(join(directory, "plugins", "tests"));
    for (const [name, text] of Object.entries(scenarios)) {
      writeFileSync(join(directory, "plugins", "tests", name), text);
    }
    writeFileSync(join(directory, "sandbus.toml"), `${config}\n${OPEN_INGRESS}`);
    const process = spawn(BINARY, ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], {
      cwd: directory,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const output: string[] = [];
    const addresses = await listening(process, output);
    const host = new Host(process, directory, output, `http://${addresses.address}`, `http://${addresses.admin}`);
    await eventually("the host is ready", async () => (await fetch(`${host.admin}/readyz`)).ok);
    return host;
  }

  /** Uses a token for all further calls, and returns it. */
  useNewToken(role: Role): string {
    const created = spawnSync(BINARY, ["token", "create", "--role", role, "--data", join(this.directory, "data")], {
      encoding: "utf8",
    });
    const token = created.stdout.trim().split("\n")[0] ?? "";
    if (!token.startsWith("sbt_")) {
      throw new Error(`no token: ${created.stdout}${created.stderr}`);
    }
    this.token = token;
    return token;
  }

  /** Creates a token through the API. */
  async newToken(role: Role, options: Partial<Schemas["TokenRequest"]> = {}): Promise<string> {
    const created = await this.change<Schemas["CreatedTokenView"]>("POST", "/tokens", { role, name: role, ...options });
    return created.secret;
  }

  /** Reads a path of the admin API, without `/v1`. */
  async api<Answer>(path: string): Promise<Answer> {
    return (await this.call("GET", path)).json() as Promise<Answer>;
  }

  /** Changes something through the admin API. */
  async change<Answer>(method: string, path: string, body?: unknown, type = "application/json"): Promise<Answer> {
    const response = await this.call(method, path, body === undefined ? undefined : JSON.stringify(body), type);
    const text = await response.text();
    return (text === "" ? undefined : JSON.parse(text)) as Answer;
  }

  private async call(method: string, path: string, body?: string, type?: string): Promise<Response> {
    const headers: Record<string, string> = type === undefined || body === undefined ? {} : { "content-type": type };
    if (this.token !== undefined) {
      headers.authorization = `Bearer ${this.token}`;
    }
    const response = await fetch(`${this.admin}/v1${path}`, { method, body, headers });
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    }
    return response;
  }

  /** Publishes events in one request, and returns their ids. */
  async publish(...events: NewEvent[]): Promise<string[]> {
    const batch = events.map((event) => ({
      specversion: "1.0",
      source: "/test",
      id: `event-${(this.published += 1)}`,
      ...event,
    }));
    await this.change("POST", "/events", batch, "application/cloudevents-batch+json");
    return batch.map(({ id }) => id);
  }

  /** Sends JSON to a route. */
  async request(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(`${this.ingress}${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  }

  /** Registers a user with the example plugins, and returns the id of the event. */
  async register(name: string): Promise<string> {
    const email = `${name.toLowerCase().replace(/\W/g, "")}@example.com`;
    const response = await this.request("POST", "/register", { name, email });
    if (response.status !== 201) {
      throw new Error(`${name} is not registered: ${response.status} ${await response.text()}`);
    }
    return ((await response.json()) as { event_id: string }).event_id;
  }

  /** The dead letters, as soon as there are so many. */
  async deadLetters(count: number): Promise<Schemas["DeadLetterView"][]> {
    return eventually(`there are ${count} dead letters`, async () => {
      const { dead_letters: all } = await this.api<Schemas["DeadLetterPage"]>("/dead-letters?limit=1000");
      return all.length === count ? all : undefined;
    });
  }

  /** A plugin. */
  async plugin(name: string): Promise<Schemas["PluginView"]> {
    return this.api<Schemas["PluginView"]>(`/plugins/${encodeURIComponent(name)}`);
  }

  /** A subscription. */
  async subscription(id: string): Promise<Schemas["SubscriptionView"]> {
    return this.api<Schemas["SubscriptionView"]>(`/subscriptions/${id}`);
  }

  /** Waits until no subscription has a backlog. */
  async untilIdle(): Promise<void> {
    await eventually("every subscription is idle", async () => {
      const { subscriptions } = await this.api<Schemas["SubscriptionList"]>("/subscriptions?limit=1000");
      return subscriptions.every(({ backlog, status }) => backlog === 0 || status === "paused");
    });
  }

  /** Puts a guest into the plugin folder, under the name of a plugin, as an operator would. */
  replace(plugin: string, by: string): void {
    const partial = join(this.directory, "plugins", `${plugin}.partial`);
    copyFileSync(guest(by), partial);
    renameSync(partial, join(this.directory, "plugins", `${plugin}.wasm`));
  }

  /** Writes the sidecar of a plugin, as an operator would. */
  writeSidecar(plugin: string, text: string): void {
    const partial = join(this.directory, "plugins", `${plugin}.partial`);
    writeFileSync(partial, text);
    renameSync(partial, join(this.directory, "plugins", `${plugin}.toml`));
  }

  /** What the host has logged. */
  log(): string {
    return this.output.join("\n");
  }

  /** Ends the host and removes its files. */
  async stop(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGKILL");
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Polls until a look returns something other than false or undefined, and returns that. */
export async function eventually<Found>(
  what: string,
  look: () => Promise<Found | false | undefined>,
  patience = 30_000,
): Promise<Found> {
  const until = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found !== false && found !== undefined) {
      return found;
    }
    if (Date.now() > until) {
      throw new Error(`timed out, waiting until ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until a host announces its addresses. */
function listening(host: ChildProcess, output: string[]): Promise<{ address: string; admin: string }> {
  return new Promise((resolve, reject) => {
    host.once("error", (error) => reject(new Error(`${BINARY}: ${error.message}; run \`cargo build\``)));
    host.once("exit", () => reject(new Error(`the host does not start:\n${output.join("\n")}`)));
    if (host.stderr === null) {
      throw new Error("its output is piped");
    }
    createInterface(host.stderr).on("line", (line) => {
      output.push(line);
      if (line.includes('"listening"')) {
        resolve(JSON.parse(line) as { address: string; admin: string });
      }
    });
  });
}

/** Shares compiled plugins among the hosts of one binary. */
function shareCode(directory: string): void {
  const cache = join(tmpdir(), `sandbus-dashboard-code-${process.getuid?.()}-${Math.trunc(statSync(BINARY).mtimeMs)}`);
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  symlinkSync(cache, join(directory, "data", "cache"));
}
