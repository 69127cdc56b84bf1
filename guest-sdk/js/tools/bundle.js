// Bundles a plugin with esbuild: all of the project's sources and their imports as one file, and a map of its lines.

import { existsSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

import { lineMap } from "./lines.js";

/** The SDK that this script belongs to. */
export const SDK = resolve(dirname(fileURLToPath(import.meta.url)), "..");

export function manifest(project) {
  return JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
}

/** How esbuild resolves modules and which syntax it writes, for plugins and for the SDK alike. */
export const OPTIONS = {
  bundle: true,
  write: false,
  target: "es2023",
  // An `async` function returns a native promise, which settles after the outcome is known. As a generator it uses
  // the SDK's promises (src/jobs.js).
  supported: { "async-await": false, "async-generator": false, "for-await": false, "top-level-await": true },
  platform: "neutral",
  mainFields: ["module", "main"],
  conditions: ["sandbus-component", "import", "module"],
  external: ["sandbus:*", "wasi:*"],
};

/**
 * Bundles an entry of a project. Returns the bundle's text, the map of its lines, the interfaces that it imports, the files
 * that it was made of, and esbuild's warnings.
 */
export async function bundle(esbuild, project, entry, options) {
  const result = await esbuild.build({
    ...OPTIONS,
    stdin: { contents: entry, resolveDir: project, sourcefile: "@sandbus/sdk/entry.js" },
    outfile: join(project, "plugin.js"),
    // A project without an installed SDK uses the SDK of this script.
    nodePaths: [join(SDK, "../..")],
    sourcemap: "external",
    metafile: true,
    color: process.env.SANDBUS_COLOUR === "1",
    logLevel: "warning",
    ...options,
    plugins: [withoutNode(project), ...(options.plugins ?? [])],
  });
  const text = (name) => result.outputFiles.find((file) => file.path.endsWith(name)).text;
  return {
    text: withSourceNames(text(".js"), Object.keys(result.metafile.inputs), project),
    lines: lineMap(text(".map"), (source) => sourceName(resolve(project, source), project)),
    imports: Object.values(result.metafile.outputs).flatMap((output) => output.imports.map(({ path }) => path)),
    read: Object.keys(result.metafile.inputs)
      .map((source) => resolve(source))
      .filter((source) => existsSync(source))
      .sort(),
    warnings: result.warnings,
  };
}

/**
 * The statements that import a project's plugin as `plugin` and check it, and the expression that describes it by its
 * package.json.
 */
export function pluginOf(project) {
  const { name, version, description } = manifest(project);
  // The path of the module that exports the plugin, as the toolchain has found it.
  const main = process.env.SANDBUS_ENTRY ?? "src/plugin.js";
  // The plugin's name omits npm's scope.
  const described = { name: name?.replace(/^@.*\//, ""), version, description };
  const misfit = `the default export of ${main} is not a plugin; it is made by \`plugin()\` of @sandbus/sdk`;
  return {
    statement: `
      import plugin from ${JSON.stringify(`./${main.replace(/^\.\//, "")}`)};
      if (typeof plugin?.describedBy !== "function") throw new TypeError(${JSON.stringify(misfit)});
    `,
    expression: `plugin.describedBy(${JSON.stringify(described)})`,
  };
}

/** Ends the process after a failed build. esbuild has printed its own errors already. */
export function fail(error) {
  if (!Array.isArray(error.errors)) console.error(error.stack ?? error);
  process.exit(1);
}

/** Explains imports of node's own modules: esbuild would advise to bundle for node. Packages of these names are accepted. */
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
      return { errors: [{ text: `\`${path}\` is a module of node, which components do not have (in ${from})` }] };
    });
  return { name: "without-node", setup };
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
