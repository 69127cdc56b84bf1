// Sets a stack limit in QuickJS, so that it notices when a plugin recurses too deeply. Compiled for WASI the engine has
// no stack limit, so endless recursion exhausts WebAssembly's stack: a trap, which no `catch` sees and which names no
// line. With a limit the engine throws a RangeError. The limit is a field of the engine's JSRuntime in the component's
// initial memory; an additional data segment sets it.

const COMPONENT = 4;
const CORE_MODULE = 1;
const DATA = 11;
const HEADER_BYTES = 8;

/** The component with a limit of so many bytes for the engine's stack. Throws if the engine is not as expected. */
export function withStackLimit(component, limitBytes) {
  const found = { count: 0 };
  const limited = rewritten(component, limitBytes, found);
  if (found.count !== 1) throw new Error(`the engine's stack limit was found ${found.count} times in the component`);
  return limited;
}

/** A component or a module whose sections have been looked through. */
function rewritten(bytes, limitBytes, found) {
  const parts = [bytes.subarray(0, HEADER_BYTES)];
  const isModule = bytes[6] === 0;
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    const id = bytes[at];
    const [size, start] = unsigned(bytes, at + 1);
    let content = bytes.subarray(start, start + size);
    if (!isModule && (id === COMPONENT || id === CORE_MODULE)) content = rewritten(content, limitBytes, found);
    if (isModule && id === DATA) content = limited(content, limitBytes, found);
    parts.push(Uint8Array.of(id, ...encoded(content.length)), content);
    at = start + size;
  }
  return concat(parts);
}

/** A data section with one more segment, if the engine's runtime is in its memory. */
function limited(section, limitBytes, found) {
  const [count, start] = unsigned(section, 0);
  const memory = memoryOf(section, count, start);
  const field = memory === null ? null : stackLimitIn(memory);
  if (field === null) return section;
  found.count++;
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, field.stackTop - limitBytes, true);
  // An active segment of memory 0: `i32.const ADDRESS; end`, and its bytes.
  const segment = Uint8Array.of(0, 0x41, ...encodedSigned(field.address), 0x0b, value.length, ...value);
  return concat([Uint8Array.from(encoded(count + 1)), section.subarray(start), segment]);
}

/** The memory that the segments of a section make; null where their places are computed. */
function memoryOf(section, count, start) {
  const segments = [];
  let at = start;
  for (let index = 0; index < count; index++) {
    const isActive = section[at] === 0 && section[at + 1] === 0x41;
    if (!isActive) return null;
    const [address, end] = signed(section, at + 2);
    const [size, first] = unsigned(section, end + 1);
    segments.push([address, section.subarray(first, first + size)]);
    at = first + size;
  }
  const memory = new Uint8Array(segments.reduce((most, [address, bytes]) => Math.max(most, address + bytes.length), 0));
  for (const [address, bytes] of segments) memory.set(bytes, address);
  return memory;
}

/** The stack of a component has 1 MiB at the beginning of the memory, and grows downwards. */
const STACK_BYTES = 1 << 20;

/**
 * Where JSRuntime (quickjs.c) has `stack_limit`. It follows `gc_zero_ref_count_list`, which is empty and so has two
 * links to itself, the two links of `tmp_obj_list`, the phase and the threshold of the garbage collector, `stack_size`,
 * which is 0, and `stack_top`.
 */
function stackLimitIn(memory) {
  const view = new DataView(memory.buffer);
  const word = (address) => view.getUint32(address, true);
  const fields = [];
  for (let list = STACK_BYTES; list + 36 <= memory.length; list += 4) {
    if (word(list) !== list || word(list + 4) !== list) continue;
    const [stackSize, stackTop, stackLimit] = [word(list + 24), word(list + 28), word(list + 32)];
    const isInStack = stackTop < STACK_BYTES && stackTop >= STACK_BYTES - (64 << 10);
    if (stackSize === 0 && stackLimit === 0 && isInStack) fields.push({ address: list + 32, stackTop });
  }
  return fields.length === 1 ? fields[0] : null;
}

function unsigned(bytes, start) {
  let value = 0;
  let factor = 1;
  for (let at = start; ; at++) {
    value += (bytes[at] & 0x7f) * factor;
    if (bytes[at] < 0x80) return [value, at + 1];
    factor *= 128;
  }
}

function signed(bytes, start) {
  const [value, end] = unsigned(bytes, start);
  const bits = 7 * (end - start);
  return [value >= 2 ** (bits - 1) ? value - 2 ** bits : value, end];
}

function encoded(value) {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

/** A positive number in the form that has a sign. */
function encodedSigned(value) {
  const bytes = encoded(value);
  return bytes.at(-1) & 0x40 ? [...bytes.slice(0, -1), bytes.at(-1) | 0x80, 0] : bytes;
}

function concat(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
