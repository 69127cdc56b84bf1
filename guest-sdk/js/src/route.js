// Routes: the rules of methods and paths, which the host has as well, and how requests are matched.

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/** Paths that the host itself serves. */
const RESERVED = ["/events"];
const MAX_BYTES = 1_024;
const MAX_PARAMETERS = 16;

const isUnreserved = (character) => /^[A-Za-z0-9\-._~]$/.test(character);
const isPathCharacter = (character) => /^[A-Za-z0-9\-._~!$&'()*+,;=:@]$/.test(character);

/** The method and the path of a route such as "POST /hello/{name}". */
export function parseRoute(route) {
  const [, method, path] = /^\s*(\S+)\s+(\S.*?)\s*$/s.exec(route) ?? [];
  if (path === undefined) throw new TypeError(`route ${route}: write a method and a path, such as "POST /hello/{name}"`);
  if (!METHODS.includes(method.toUpperCase()))
    throw new TypeError(`route ${route}: unknown method; the methods are ${METHODS.join(", ")}`);
  const fault = pathFault(path);
  if (fault !== null) throw new TypeError(`the path of route \`${route}\` is invalid: ${fault}`);
  return { method: method.toUpperCase(), path };
}

/** Why a path of a route is invalid, and what to write instead; null if it is valid. */
export function pathFault(path) {
  if (RESERVED.includes(path)) return "it is reserved for the host; choose another";
  if (new TextEncoder().encode(path).length > MAX_BYTES) return `it is longer than ${MAX_BYTES} bytes`;
  if (!path.startsWith("/")) return "it does not begin with a slash";
  const parameters = path.split("{").length - 1;
  if (parameters > MAX_PARAMETERS) return `it has ${parameters} parameters; at most ${MAX_PARAMETERS} are allowed`;
  const names = new Set();
  const segments = path.slice(1).split("/");
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === "" && !isLast) return "it has an empty segment (`//`); write one slash";
    const { fault, name } = checkSegment(segment, isLast);
    if (fault) return fault;
    if (name === undefined) continue;
    if (names.has(name)) return `it has the parameter \`${name}\` twice; rename one`;
    names.add(name);
  }
  return null;
}

/** The fault of a segment, or the name of its parameter, if it has one. */
function checkSegment(segment, isLast) {
  if ([".", ".."].includes(segment.replaceAll(/%2e/gi, ".")))
    return { fault: `it has the segment \`${segment}\`, which clients resolve before they send a request` };
  if (segment.startsWith(":"))
    return { fault: `it has the segment \`${segment}\`; write a parameter as \`{${segment.slice(1)}}\`` };
  if (segment.startsWith("*"))
    return { fault: `it has the segment \`${segment}\`; write the rest of a path as \`{*rest}\`` };
  if (segment.includes("{{") || segment.includes("}}"))
    return { fault: "it has a doubled brace; write %7B and %7D for the characters themselves" };
  const { before, parameter, after } = divide(segment);
  if (after.includes("{")) return { fault: `the segment \`${segment}\` has more than one parameter` };
  if (before.includes("}") || after.includes("}")) return { fault: "it has `}` without `{`" };
  if (before.includes("{")) return { fault: "it has `{` without `}`" };
  const fault = textFault(before) ?? textFault(after);
  if (fault !== null || parameter === undefined) return { fault };
  const name = parameter.replace(/^\*/, "");
  if (name !== parameter && (!isLast || before !== "" || after !== ""))
    return { fault: `\`{${parameter}}\` is not the last segment of the path` };
  if (!/^[A-Za-z0-9_-]+$/.test(name))
    return { fault: `\`{${parameter}}\` is not a parameter; name it with letters from a to z, digits, \`-\` and \`_\`` };
  return { name };
}

/** Divides a segment into the text before its parameter, the parameter, and the text after it. */
function divide(segment) {
  const [, before, parameter, after] = /^([^{]*)\{([^}]*)\}(.*)$/s.exec(segment) ?? [, segment, undefined, ""];
  return { before, parameter, after };
}

/** Why a text is not one of a segment (`pchar` in RFC 3986, section 3.3), in normal form; null if it is one. */
function textFault(text) {
  for (const [index, character] of indexed(text)) {
    if (character === "?") return "it has a query; a route matches the path only, and its handler can read the query";
    if (character === "#") return "it has a fragment, which clients do not send; remove it";
    if ("<>".includes(character)) return "it has angle brackets; write a parameter as `{name}`";
    const fault = character === "%" ? escapeFault(text.slice(index + 1, index + 3)) : null;
    if (fault !== null) return fault;
    if (character !== "%" && !isPathCharacter(character))
      return `it has \`${character}\`; write ${percentEncoded(character)} instead`;
  }
  return null;
}

function* indexed(text) {
  let index = 0;
  for (const character of text) {
    yield [index, character];
    index += character.length;
  }
}

/** Why the digits of an escape are not those of its normal form (RFC 3986, section 6.2.2); null if they are. */
function escapeFault(digits) {
  if (!/^[0-9A-Fa-f]{2}$/.test(digits))
    return "`%` is not followed by two hexadecimal digits; write `%25` for the character itself";
  if (/[a-f]/.test(digits)) return `it has \`%${digits}\`; write the digits in upper case: \`%${digits.toUpperCase()}\``;
  const character = String.fromCharCode(parseInt(digits, 16));
  return isUnreserved(character)
    ? `it has \`%${digits}\`, which means the same as \`${character}\`; write \`${character}\``
    : null;
}

function percentEncoded(character) {
  const bytes = [...new TextEncoder().encode(character)];
  return bytes.map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
}

/** The normal form of the path of a request (RFC 3986, section 6.2.2), in which it is compared with routes. */
function normalForm(path) {
  return path.replaceAll(/%([0-9A-Fa-f]{2})/g, (escape, digits) => {
    const character = String.fromCharCode(parseInt(digits, 16));
    return isUnreserved(character) ? character : escape.toUpperCase();
  });
}

/** The route among these paths that takes a request's path, and its parameters, as the host finds it; else null. */
export function findRoute(paths, path) {
  const sent = normalForm(path).split("/");
  let best = null;
  for (const route of paths) {
    const params = parameters(route, sent);
    if (params !== null && (best === null || isNarrower(route, best.route))) best = { route, params };
  }
  return best;
}

/** The parameters of a path's segments, if it is the route's. */
function parameters(route, sent) {
  const segments = route.split("/");
  const params = [];
  for (const [index, segment] of segments.entries()) {
    const { before, parameter, after } = divide(segment);
    if (parameter?.startsWith("*")) {
      const rest = sent.slice(index).join("/");
      return rest === "" ? null : [...params, [parameter.slice(1), decodeURIComponent(rest)]];
    }
    const text = sent[index];
    if (text === undefined) return null;
    if (parameter === undefined) {
      if (text !== segment) return null;
      continue;
    }
    const isIt = text.length > before.length + after.length && text.startsWith(before) && text.endsWith(after);
    if (!isIt) return null;
    params.push([parameter, decodeURIComponent(text.slice(before.length, text.length - after.length))]);
  }
  return sent.length === segments.length ? params : null;
}

/** Whether a route goes before another that takes the same request: the first segment that differs decides. */
function isNarrower(route, other) {
  const theirs = other.split("/").map(breadth);
  for (const [index, own] of route.split("/").map(breadth).entries()) {
    for (const [part, value] of own.entries()) if (value !== theirs[index]?.[part]) return value < theirs[index]?.[part];
  }
  return false;
}

/** How much a segment takes: a text, a parameter with the longest texts around it, any parameter, the rest. */
function breadth(segment) {
  const { before, parameter, after } = divide(segment);
  return [parameter === undefined ? 0 : parameter.startsWith("*") ? 2 : 1, -before.length, -after.length];
}
