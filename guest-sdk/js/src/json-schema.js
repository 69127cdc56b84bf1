// JSON Schema, draft 2020-12: the assertion and applicator vocabularies, with references within the schema. The npm
// libraries need `URL` or compile functions from text, and QuickJS has no URL. An unknown keyword is refused when the
// schema is declared, so that nothing goes unchecked silently.

/** Keywords that assert nothing. `format` is an annotation by default (Validation, section 7.2.1). */
const ANNOTATIONS = [
  ...["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples"],
  ...["deprecated", "readOnly", "writeOnly", "format", "contentEncoding", "contentMediaType", "contentSchema"],
];

/**
 * Compiles a schema to a function that lists a value's misfits, each with its path as a JSON pointer.
 *
 * Each keyword of a schema becomes a function: `check(value, path)` yields its misfits.
 */
export function compile(schema, what) {
  const compiled = new Map();
  const check = subschema(schema, { root: schema, what, compiled });
  return (value) => [...check(value, "")];
}

function subschema(schema, context) {
  if (schema === true) return () => [];
  if (schema === false) return (_, path) => [{ path, message: "is not allowed" }];
  if (schema === null || typeof schema !== "object" || Array.isArray(schema))
    throw new TypeError(`${context.what}: a schema must be an object or a boolean, not ${JSON.stringify(schema)}`);
  const known = context.compiled.get(schema);
  if (known !== undefined) return (value, path) => known.check(value, path);
  // A schema may refer to itself, so it is registered before its keywords are read.
  const entry = { check: null };
  context.compiled.set(schema, entry);
  const checks = Object.keys(schema).flatMap((name) => keyword(name, schema, context));
  entry.check = function* (value, path) {
    for (const check of checks) yield* check(value, path);
  };
  return entry.check;
}

function keyword(name, schema, context) {
  if (ANNOTATIONS.includes(name)) return [];
  const make = Object.hasOwn(KEYWORDS, name) ? KEYWORDS[name] : undefined;
  if (make === undefined)
    throw new TypeError(`${context.what}: the schema's keyword \`${name}\` is not supported; use a schema library`);
  const check = make(schema[name], schema, (inner) => subschema(inner, context), context);
  return check === null ? [] : [check];
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isNumber = (value) => typeof value === "number";
const isString = (value) => typeof value === "string";
const characters = (text) => [...text].length;

function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

function isOfType(value, type) {
  return type === "integer" ? Number.isInteger(value) : typeOf(value) === type;
}

/** A keyword that makes an assertion about values of one type. */
const asserts = (applies, holds, message) => (wanted) => (value, path) =>
  applies(value) && !holds(value, wanted) ? [{ path, message: message(wanted) }] : [];

const at = (path, key) => `${path}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;
const fits = (check, value) => check(value, "")[Symbol.iterator]().next().done;
const text = (value) => JSON.stringify(value);

const KEYWORDS = {
  type(wanted) {
    const types = Array.isArray(wanted) ? wanted : [wanted];
    return (value, path) =>
      types.some((type) => isOfType(value, type))
        ? []
        : [{ path, message: `must be ${types.join(" or ")}, not ${typeOf(value)}` }];
  },
  enum: asserts(
    () => true,
    (value, choices) => choices.some((choice) => equal(value, choice)),
    (choices) => `must be one of ${choices.map(text).join(", ")}`,
  ),
  const: asserts(
    () => true,
    equal,
    (wanted) => `must be ${text(wanted)}`,
  ),

  minimum: asserts(
    isNumber,
    (value, least) => value >= least,
    (least) => `must be at least ${least}`,
  ),
  maximum: asserts(
    isNumber,
    (value, most) => value <= most,
    (most) => `must be at most ${most}`,
  ),
  exclusiveMinimum: asserts(
    isNumber,
    (value, bound) => value > bound,
    (bound) => `must be more than ${bound}`,
  ),
  exclusiveMaximum: asserts(
    isNumber,
    (value, bound) => value < bound,
    (bound) => `must be less than ${bound}`,
  ),
  multipleOf: asserts(isNumber, isMultiple, (unit) => `must be a multiple of ${unit}`),

  minLength: asserts(
    isString,
    (value, least) => characters(value) >= least,
    (least) => `must have at least ${least} characters`,
  ),
  maxLength: asserts(
    isString,
    (value, most) => characters(value) <= most,
    (most) => `must have at most ${most} characters`,
  ),
  pattern(wanted) {
    const expression = new RegExp(wanted, "u");
    return (value, path) =>
      isString(value) && !expression.test(value) ? [{ path, message: `must match ${expression.source}` }] : [];
  },

  minItems: asserts(
    Array.isArray,
    (value, least) => value.length >= least,
    (least) => `must have at least ${least} items`,
  ),
  maxItems: asserts(
    Array.isArray,
    (value, most) => value.length <= most,
    (most) => `must have at most ${most} items`,
  ),
  uniqueItems: asserts(
    Array.isArray,
    (value, wanted) => !wanted || value.every((one, index) => !value.slice(0, index).some((other) => equal(one, other))),
    () => "must have no equal items",
  ),
  prefixItems(schemas, _, inner) {
    const checks = schemas.map(inner);
    return function* (value, path) {
      if (!Array.isArray(value)) return;
      for (const [index, check] of checks.slice(0, value.length).entries()) yield* check(value[index], at(path, index));
    };
  },
  items(schema, { prefixItems = [] }, inner) {
    const check = inner(schema);
    return function* (value, path) {
      if (!Array.isArray(value)) return;
      for (let index = prefixItems.length; index < value.length; index++) yield* check(value[index], at(path, index));
    };
  },
  contains(schema, { minContains = 1, maxContains = Infinity }, inner) {
    const check = inner(schema);
    return (value, path) => {
      if (!Array.isArray(value)) return [];
      const count = value.filter((item) => fits(check, item)).length;
      if (count >= minContains && count <= maxContains) return [];
      return [{ path, message: `has ${count} items that its schema's \`contains\` asks for` }];
    };
  },
  minContains: () => null,
  maxContains: () => null,

  required(names) {
    return (value, path) =>
      isObject(value)
        ? names
            .filter((name) => !Object.hasOwn(value, name))
            .map((name) => ({ path, message: `the property \`${name}\` is missing` }))
        : [];
  },
  properties(schemas, _, inner) {
    const checks = Object.entries(schemas).map(([name, schema]) => [name, inner(schema)]);
    return function* (value, path) {
      if (!isObject(value)) return;
      for (const [name, check] of checks)
        if (Object.hasOwn(value, name)) yield* check(value[name], at(path, name));
    };
  },
  patternProperties(schemas, _, inner) {
    const checks = Object.entries(schemas).map(([pattern, schema]) => [new RegExp(pattern, "u"), inner(schema)]);
    return function* (value, path) {
      if (!isObject(value)) return;
      for (const name of Object.keys(value))
        for (const [pattern, check] of checks) if (pattern.test(name)) yield* check(value[name], at(path, name));
    };
  },
  additionalProperties(schema, { properties = {}, patternProperties = {} }, inner) {
    const check = inner(schema);
    const patterns = Object.keys(patternProperties).map((pattern) => new RegExp(pattern, "u"));
    const isKnown = (name) => Object.hasOwn(properties, name) || patterns.some((pattern) => pattern.test(name));
    return function* (value, path) {
      if (!isObject(value)) return;
      for (const name of Object.keys(value)) if (!isKnown(name)) yield* check(value[name], at(path, name));
    };
  },
  propertyNames(schema, _, inner) {
    const check = inner(schema);
    return function* (value, path) {
      if (!isObject(value)) return;
      for (const name of Object.keys(value))
        for (const { message } of check(name, "")) yield { path, message: `the name \`${name}\` ${message}` };
    };
  },
  minProperties: asserts(
    isObject,
    (value, least) => Object.keys(value).length >= least,
    (least) => `must have at least ${least} properties`,
  ),
  maxProperties: asserts(
    isObject,
    (value, most) => Object.keys(value).length <= most,
    (most) => `must have at most ${most} properties`,
  ),
  dependentRequired(wanted) {
    return function* (value, path) {
      if (!isObject(value)) return;
      for (const [name, others] of Object.entries(wanted)) {
        if (!Object.hasOwn(value, name)) continue;
        for (const other of others)
          if (!Object.hasOwn(value, other)) yield { path, message: `\`${name}\` needs the property \`${other}\`` };
      }
    };
  },
  dependentSchemas(schemas, _, inner) {
    const checks = Object.entries(schemas).map(([name, schema]) => [name, inner(schema)]);
    return function* (value, path) {
      if (!isObject(value)) return;
      for (const [name, check] of checks) if (Object.hasOwn(value, name)) yield* check(value, path);
    };
  },

  allOf(schemas, _, inner) {
    const checks = schemas.map(inner);
    return function* (value, path) {
      for (const check of checks) yield* check(value, path);
    };
  },
  anyOf(schemas, _, inner) {
    const checks = schemas.map(inner);
    return (value, path) => {
      const misfits = checks.map((check) => [...check(value, path)]);
      // The closest alternative gives the most useful message.
      const closest = misfits.reduce((best, one) => (one.length < best.length ? one : best));
      return closest.length === 0 ? [] : closest;
    };
  },
  oneOf(schemas, _, inner) {
    const checks = schemas.map(inner);
    return (value, path) => {
      const count = checks.filter((check) => fits(check, value)).length;
      return count === 1 ? [] : [{ path, message: `must fit exactly one of ${checks.length} schemas, and fits ${count}` }];
    };
  },
  not(schema, _, inner) {
    const check = inner(schema);
    return (value, path) => (fits(check, value) ? [{ path, message: "must not fit its schema's `not`" }] : []);
  },
  if(schema, { then = true, else: otherwise = true }, inner) {
    const [condition, met, unmet] = [schema, then, otherwise].map(inner);
    return (value, path) => (fits(condition, value) ? met(value, path) : unmet(value, path));
  },
  then: () => null,
  else: () => null,

  $ref(reference, _, inner, { root, what }) {
    return inner(referred(root, reference, what));
  },
};

/** Resolves a reference within a schema: a fragment that is a JSON pointer (RFC 6901, section 6). */
function referred(root, reference, what) {
  const refuse = () => new TypeError(`${what}: \`$ref\` ${text(reference)} is not in the schema; it must be #/…`);
  if (!/^#(?:\/|$)/.test(reference)) throw refuse();
  let found = root;
  for (const key of reference.slice(1).split("/").slice(1)) {
    const name = decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~");
    if (found === null || typeof found !== "object" || !Object.hasOwn(found, name)) throw refuse();
    found = found[name];
  }
  return found;
}

/**
 * Whether a number is a multiple of another one. Fractions such as 0.1 are not exact, so a small error is tolerated.
 */
function isMultiple(value, unit) {
  const quotient = value / unit;
  return Number.isFinite(quotient) && Math.abs(quotient - Math.round(quotient)) < 1e-9;
}

/** Equality of JSON values (Core, section 4.2.2). */
function equal(one, other) {
  if (Array.isArray(one) && Array.isArray(other))
    return one.length === other.length && one.every((item, index) => equal(item, other[index]));
  if (isObject(one) && isObject(other)) {
    const names = Object.keys(one);
    return (
      names.length === Object.keys(other).length &&
      names.every((name) => Object.hasOwn(other, name) && equal(one[name], other[name]))
    );
  }
  return one === other;
}
