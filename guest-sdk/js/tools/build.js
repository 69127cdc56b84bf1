// Builds a plugin: node build.js TOOLS PROJECT WIT OUT
//
// TOOLS is a directory whose node_modules has esbuild and the engine's componentizer, PROJECT is the plugin's
// directory, WIT the contract's, and OUT the component to write. esbuild bundles the project's sources, their imports
// and the SDK into one module. The componentizer for QuickJS builds the component, or StarlingMonkey's if package.json
// selects it. Messages go to standard error.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { builtinModules, createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { lineMap } from "./lines.js";
import { withStackLimit } from "./stack-limit.js";

const SDK = resolve(dirname(fileURLToPath(import.meta.url)), "..");

async function build(tools, project, wit, out) {
  const require = createRequire(join(tools, "package.json"));
  const { sandbus } = manifest(project);
  const componentize = sandbus?.engine === "starlingmonkey" ? STARLINGMONKEY : QUICKJS;
  const { jsSource, world, read } = await bundle(require("esbuild"), project, componentize.bundle);
  writeFileSync(out, await componentize.component(tools, wit, world, jsSource));
  // The inputs, so that the next build can tell whether anything changed.
  writeFileSync(join(dirname(out), "read.json"), JSON.stringify(read));
}

async function onQuickJs(tools, witPath, world, jsSource) {
  const { componentize } = createRequire(join(tools, "package.json"))("componentize-qjs");
  const { component } = await componentize({ witPath, world, jsSource, sync: true });
  return withStackLimit(component, STACK_BYTES);
}

async function onStarlingMonkey(tools, witPath, worldName, jsSource) {
  // It is a module, which `require` does not find.
  const path = join(tools, "node_modules/@bytecodealliance/componentize-js/src/componentize.js");
  const { componentize } = await import(pathToFileURL(path));
  const directory = mkdtempSync(join(tmpdir(), "sandbus-js-"));
  try {
    const sourcePath = join(directory, STARLINGMONKEY.bundle);
    writeFileSync(sourcePath, jsSource);
    // Requests use the SDK's client: a handler cannot wait for a promise of the engine's `fetch`.
    const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures: ["http", "fetch-event"] });
    return component;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * How much of its own stack QuickJS may use. A call takes up to five times as much of WebAssembly's stack, of which there is
 * half a megabyte.
 */
const STACK_BYTES = 96 << 10;

/** What makes a component, and what the engine calls the bundle in a stack. */
const QUICKJS = { component: onQuickJs, bundle: "componentize-qjs:user.js" };
const STARLINGMONKEY = { component: onStarlingMonkey, bundle: "sandbus-bundle.js" };

function manifest(project) {
  return JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
}

/** One module of all that the plugin consists of, with a map of its lines, and the world that it is made for. */
async function bundle(esbuild, project, name) {
  const result = await esbuild.build({
    stdin: { contents: entry(project), resolveDir: project, sourcefile: "@sandbus/sdk/entry.js" },
    bundle: true,
    write: false,
    outfile: join(project, "plugin.js"),
    format: "esm",
    target: "es2023",
    // An `async` function returns a native promise, which settles after the outcome is known. As a generator it uses
    // the SDK's promises (src/jobs.js).
    supported: { "async-await": false, "async-generator": false, "for-await": false, "top-level-await": true },
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["sandbus-component", "import", "module"],
    external: ["sandbus:*", "wasi:*"],
    plugins: [withoutNode(project)],
    // A project without an installed SDK uses the SDK of this script.
    nodePaths: [join(SDK, "../..")],
    sourcemap: "external",
    metafile: true,
    color: process.env.SANDBUS_COLOUR === "1",
    logLevel: "warning",
  });
  const text = (name) => result.outputFiles.find((file) => file.path.endsWith(name)).text;
  const map = lineMap(text(".map"), (source) => sourceName(resolve(project, source), project));
  const code = withSourceNames(text(".js"), Object.keys(result.metafile.inputs), project);
  const imports = Object.values(result.metafile.outputs).flatMap((output) => output.imports);
  const sends = imports.some(({ path }) => path.startsWith("sandbus:plugin/client@"));
  return {
    // In the first line, so that the map exists when a module fails to load, and line numbers stay.
    jsSource: `globalThis.__sandbusLines ??= ${JSON.stringify({ ...map, bundle: name })};${code}`,
    world: sends ? "plugin-with-client" : "plugin",
    read: Object.keys(result.metafile.inputs)
      .map((source) => resolve(source))
      .filter((source) => existsSync(source))
      .sort(),
  };
}

/** Tells of node's own modules what they are: esbuild would advise to bundle for node. A package of that name is taken. */
function withoutNode(project) {
  const names = builtinModules.filter((name) => !name.startsWith("_")).map((name) => name.replaceAll("/", "\\/"));
  const filter = new RegExp(`^(?:node:.*|(?:${names.join("|")}))$`);
  const setup = (build) =>
    build.onResolve({ filter }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === withoutNode) return undefined;
      if (!path.startsWith("node:")) {
        const found = await build.resolve(path, { importer, resolveDir, kind, pluginData: withoutNode });
        if (found.errors.length === 0) return found;
      }
      const from = relative(project, importer);
      return { errors: [{ text: `\`${path}\` is a module of node, which a component has not (in ${from})` }] };
    });
  return { name: "without-node", setup };
}

/** What makes a component of the project's plugin. */
function entry(project) {
  const { name, version, description } = manifest(project);
  // The path of the module that exports the plugin, as the toolchain has found it.
  const main = process.env.SANDBUS_ENTRY ?? "src/plugin.js";
  // The plugin's name omits npm's scope.
  const described = { name: name?.replace(/^@.*\//, ""), version, description };
  return `
    import { component } from "@sandbus/sdk/component";
    import plugin from ${JSON.stringify(`./${main.replace(/^\.\//, "")}`)};
    export const { descriptor, eventHandler, httpHandler } = component(plugin.describedBy(${JSON.stringify(described)}));
  `;
}

/**
 * The bundle with names of sources in place of their paths on this machine. esbuild writes a source's path in a comment
 * before it, and as the name of the function that a CommonJS module becomes.
 */
function withSourceNames(code, sources, project) {
  const names = new Map(sources.map((source) => [source, sourceName(resolve(source), project)]));
  return code
    .replaceAll(/^(\s*\/\/ )(.+)$/gm, (line, start, path) => (names.has(path) ? start + names.get(path) : line))
    .replaceAll(/^(\s*)("[^"\n]+")(?=\()/gm, (line, start, path) => {
      const name = names.get(JSON.parse(path));
      return name === undefined ? line : start + JSON.stringify(name);
    });
}

/** A source's name in a stack: below the project, as a part of a package, or with its folder if it is elsewhere. */
function sourceName(path, project) {
  const inSdk = relative(SDK, path);
  if (!inSdk.startsWith("..")) return `@sandbus/sdk/${inSdk}`;
  const inProject = relative(project, path);
  if (!inProject.startsWith("..")) return inProject;
  const parts = path.split(sep);
  const packages = parts.lastIndexOf("node_modules");
  return packages < 0 ? parts.slice(-2).join("/") : parts.slice(packages + 1).join("/");
}

build(...process.argv.slice(2)).catch((error) => {
  // esbuild has printed its own errors already.
  if (!Array.isArray(error.errors)) console.error(error.stack ?? error);
  process.exit(1);
});
