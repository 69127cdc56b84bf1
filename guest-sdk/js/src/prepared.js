// A prepared runtime: the engine and the SDK without a plugin. `sandbus dev` and `sandbus test` compile it once, and give
// each instance the program that tools/program.js makes of a project.

import * as program from "sandbus:runtime/program@0.1.0";
import * as logging from "wasi:logging/logging@0.1.0-draft";

import "./client-component.js";
import * as client from "./client.js";
import { component } from "./component.js";
import { describe } from "./failure.js";
import * as sdk from "./index.js";

/** What QuickJS calls the text that `eval` runs. */
const EVALUATED = "<input>";

/** The modules of the SDK that a program imports. */
const MODULES = { "@sandbus/sdk": sdk, "@sandbus/sdk/client": client };

let exported = null;

/** Runs the program before the first call. It has no host then, like a plugin whose snapshot is made. */
function loaded() {
  try {
    return (exported ??= load());
  } catch (error) {
    // The host reads it as the reason of the trap that follows.
    logging.log("critical", "load", describe(error));
    throw error;
  }
}

function load() {
  const { lines, run } = (0, eval)(program.source());
  (globalThis.__sandbusBundles ??= {})[EVALUATED] = lines;
  return component(run(MODULES));
}

export const descriptor = { describe: () => loaded().descriptor.describe() };
export const eventHandler = { handle: (delivery) => loaded().eventHandler.handle(delivery) };
export const httpHandler = { handle: (request) => loaded().httpHandler.handle(request) };
