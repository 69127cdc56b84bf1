// Schemas of events: data that does not match never reaches the handler. Supported are Standard Schema, which zod,
// valibot and others implement (https://standardschema.dev), and JSON Schema (draft 2020-12, see json-schema.js).

import { reject } from "./failure.js";
import { compile } from "./json-schema.js";

/** The maximum number of misfits that an error names. */
const NAMED = 8;

/** Returns a function that checks an event's data against a schema, and returns the data for the handler. */
export function fitting(schema, what) {
  if (schema === undefined) return (data) => data;
  const standard = schema?.["~standard"];
  if (typeof standard?.validate === "function") return (data) => byStandard(standard, data, what);
  const misfits = compile(schema, what);
  return (data) => {
    refuse(misfits(data));
    return data;
  };
}

function byStandard(standard, data, what) {
  const result = standard.validate(data);
  if (typeof result?.then === "function")
    throw new TypeError(`${what}: the schema is asynchronous; use a synchronous one`);
  refuse((result.issues ?? []).map(({ message, path }) => ({ path: pointer(path ?? []), message })));
  return result.value;
}

/** A path of Standard Schema as a JSON pointer (RFC 6901). */
function pointer(path) {
  const keys = path.map((segment) => String(typeof segment === "object" && segment !== null ? segment.key : segment));
  return keys.map((key) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function refuse(misfits) {
  if (misfits.length === 0) return;
  const named = misfits.slice(0, NAMED).map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  const more = misfits.length > NAMED ? `; and ${misfits.length - NAMED} more` : "";
  throw reject(`the event's data is invalid: ${named.join("; ")}${more}`);
}
