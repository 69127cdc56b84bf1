// The engines: how each makes a component of a bundle, and what it calls the bundle in a stack.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { withStackLimit } from "./stack-limit.js";

/**
 * How much of its own stack QuickJS may use. A call takes up to five times as much of WebAssembly's stack, of which there is
 * half a megabyte.
 */
const STACK_BYTES = 96 << 10;

export const QUICKJS = { component: onQuickJs, bundle: "componentize-qjs:user.js" };
export const STARLINGMONKEY = { component: onStarlingMonkey, bundle: "sandbus-bundle.js" };

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
