// Makes the program of a plugin for a prepared runtime: node program.js TOOLS PROJECT OUT
//
// The program is an expression: an object with the map of its lines, and a function that takes the SDK's modules and
// returns the plugin. Modules are strict and have no `arguments`, and so is this arrow function. Standard output has a
// JSON object: `sdk` is the directory of the SDK that the project imports. If the project cannot run on a prepared
// runtime, `unsupported` says why, and no program is written.

import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { OPTIONS, SDK, bundle, fail, pluginOf } from "./bundle.js";

async function make(tools, project, out) {
  const esbuild = createRequire(join(tools, "package.json"))("esbuild");
  const sdks = new Set();
  const options = {
    // The format of components, so that the same syntax is accepted.
    format: "esm",
    supported: { ...OPTIONS.supported, "top-level-await": false, "import-meta": false },
    plugins: [preparedSdk(sdks)],
    // An error may only mean that the project needs a snapshot.
    logLevel: "silent",
  };
  let bundled;
  try {
    bundled = await bundle(esbuild, project, entry(project), options);
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    if (error.errors.every(({ text }) => text.startsWith("Top-level await"))) return { unsupported: "top-level `await`" };
    await print(esbuild, "error", error.errors);
    throw error;
  }
  const [sdk = SDK, other] = sdks;
  if (other !== undefined) return { unsupported: "two copies of the SDK" };
  if (!existsSync(join(sdk, "src/prepared.js"))) return { unsupported: "an SDK without a prepared runtime" };
  const { text, lines, imports, read, warnings } = bundled;
  if (imports.length > 0) return { unsupported: `an import of ${imports[0]}` };
  await print(esbuild, "warning", warnings);
  writeFileSync(out, `({lines:${JSON.stringify(lines)},run:(sandbusModules)=>{"use strict";${returning(text)}}})`);
  const ofSdk = sdk === SDK ? [] : sources(sdk);
  writeFileSync(join(dirname(out), "read.json"), JSON.stringify([...read, ...ofSdk]));
  return { sdk };
}

/** The text of a module whose only export is the default one, as the text of a function that returns it. */
function returning(text) {
  const exported = /\nexport \{\s*(\S+) as default\s*\};\s*$/.exec(text);
  if (exported === null) throw new Error("the bundle has other exports than the plugin");
  return `${text.slice(0, exported.index)}\nreturn ${exported[1]};\n`;
}

async function print(esbuild, kind, messages) {
  const color = process.env.SANDBUS_COLOUR === "1";
  for (const text of await esbuild.formatMessages(messages, { kind, color })) console.error(text.trimEnd());
}

function entry(project) {
  const plugin = pluginOf(project);
  return `${plugin.statement} export default ${plugin.expression};`;
}

/** Replaces the SDK by the runtime's. Collects the directories of the SDKs that the project imports. */
function preparedSdk(sdks) {
  const setup = (build) => {
    build.onResolve({ filter: /^@sandbus\/sdk(\/client)?$/ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === preparedSdk) return undefined;
      const found = await build.resolve(path, { importer, resolveDir, kind, pluginData: preparedSdk });
      if (found.errors.length > 0) return found;
      sdks.add(packageOf(found.path));
      return { path, namespace: "prepared-sdk" };
    });
    build.onLoad({ filter: /.*/, namespace: "prepared-sdk" }, ({ path }) => ({
      contents: `module.exports = sandbusModules[${JSON.stringify(path)}];`,
    }));
  };
  return { name: "prepared-sdk", setup };
}

/** The directory of the package that a file belongs to. */
function packageOf(file) {
  let directory = dirname(file);
  while (!isSdk(directory) && directory !== dirname(directory)) directory = dirname(directory);
  return directory;
}

function isSdk(directory) {
  const path = join(directory, "package.json");
  return existsSync(path) && JSON.parse(readFileSync(path, "utf8")).name === "@sandbus/sdk";
}

/** The sources of an SDK. */
function sources(sdk) {
  const files = readdirSync(join(sdk, "src"), { recursive: true }).map((name) => join(sdk, "src", name));
  return [join(sdk, "package.json"), ...files.filter((file) => file.endsWith(".js"))].sort();
}

make(...process.argv.slice(2)).then((made) => console.log(JSON.stringify(made)), fail);
