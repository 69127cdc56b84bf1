// Builds the prepared runtime of an SDK: node prepare.js TOOLS SDK WIT OUT
//
// TOOLS is a directory whose node_modules has esbuild and componentize-qjs, SDK the directory of the package
// `@sandbus/sdk`, WIT the directory of the world `prepared`, and OUT the component to write.

import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { OPTIONS, fail } from "./bundle.js";
import { QUICKJS } from "./engines.js";

async function prepare(tools, sdk, wit, out) {
  const esbuild = createRequire(join(tools, "package.json"))("esbuild");
  const entryPoints = [join(sdk, "src/prepared.js")];
  const result = await esbuild.build({ ...OPTIONS, entryPoints, format: "esm", logLevel: "warning" });
  // All of the bundle is the SDK's, and so its frames are left out of stacks.
  const map = `(globalThis.__sandbusBundles ??= {})[${JSON.stringify(QUICKJS.bundle)}] = { sources: [], runs: [] };`;
  writeFileSync(out, await QUICKJS.component(tools, wit, "prepared", map + result.outputFiles[0].text));
}

prepare(...process.argv.slice(2)).catch(fail);
