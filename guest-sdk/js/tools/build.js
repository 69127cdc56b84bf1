// Builds a plugin: node build.js TOOLS PROJECT WIT OUT
//
// TOOLS is a directory whose node_modules has esbuild and the engine's componentizer, PROJECT is the plugin's
// directory, WIT the contract's, and OUT the component to write. esbuild bundles the project's sources, their imports
// and the SDK into one module. The componentizer for QuickJS builds the component, or StarlingMonkey's if package.json
// selects it. Messages go to standard error.

import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { bundle, fail, manifest, pluginOf } from "./bundle.js";
import { QUICKJS, STARLINGMONKEY } from "./engines.js";
import { located } from "../src/stack.js";

async function build(tools, project, wit, out) {
  const { sandbus } = manifest(project);
  const engine = sandbus?.engine === "starlingmonkey" ? STARLINGMONKEY : QUICKJS;
  const esbuild = createRequire(join(tools, "package.json"))("esbuild");
  const { text, lines, imports, read } = await bundle(esbuild, project, entry(project), { format: "esm" });
  const sends = imports.some((path) => path.startsWith("sandbus:plugin/client@"));
  // In the first line, so that the map exists when a module fails to load, and line numbers stay.
  const map = `(globalThis.__sandbusBundles ??= {})[${JSON.stringify(engine.bundle)}] ??= ${JSON.stringify(lines)};`;
  const world = sends ? "plugin-with-client" : "plugin";
  const component = engine.component(tools, wit, world, map + text);
  writeFileSync(out, await component.catch((error) => Promise.reject(inSources(error, engine.bundle, lines))));
  // The inputs, so that the next build can tell whether anything changed.
  writeFileSync(join(dirname(out), "read.json"), JSON.stringify(read));
}

/** An error of the plugin's own modules while they are loaded, without the componentizer's words and positions. */
function inSources(error, bundle, lines) {
  globalThis.__sandbusBundles = { [bundle]: lines };
  const text = located(String(error?.message ?? error));
  return { stack: text.replace(/^[^]*Failed to finish JavaScript module evaluation: /, "") };
}

/** What makes a component of the project's plugin. */
function entry(project) {
  const plugin = pluginOf(project);
  return `
    import { component } from "@sandbus/sdk/component";
    ${plugin.statement}
    export const { descriptor, eventHandler, httpHandler } = component(${plugin.expression});
  `;
}

build(...process.argv.slice(2)).catch(fail);
