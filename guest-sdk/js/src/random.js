// Replaces Math.random and performance.now(). A component is a snapshot of the engine, taken after it has loaded the
// plugin's modules. The snapshot contains the seed of Math.random and the origin of performance.now(), so every
// instance would start with the same numbers and with the clock of the build machine. Here each invocation gets a new
// seed and a new origin, also in a reused instance.

import { host, isThere } from "./host.js";

const engine = Math.random.bind(Math);
const clock = globalThis.performance?.now.bind(globalThis.performance);

/** The state of the generator (sfc32); null until the invocation draws its first number. */
let drawn = null;
/** The origin of performance.now(); null until the invocation first calls it. */
let origin = null;

/**
 * Resets the seed and the origin. Call it at the start of an invocation. The seed is fetched when it is first needed.
 */
export function reset() {
  drawn = null;
  origin = null;
}

/** Replaces the engine's functions. Call it before the plugin's modules are loaded, since they may keep a reference. */
export function install() {
  Math.random = random;
  if (clock === undefined) return;
  const now = () => {
    const { clock: first } = start();
    return clock() - first;
  };
  Object.defineProperty(globalThis, "performance", {
    value: Object.freeze({
      now,
      get timeOrigin() {
        return start().date;
      },
    }),
    configurable: true,
    writable: true,
  });
}

function random() {
  // At build time there is no host. A number that a module draws would be the same in every instance.
  if (!isThere()) return engine();
  drawn ??= seed();
  // 53 bits, the precision of a number.
  return ((next(drawn) >>> 5) * 0x400_0000 + (next(drawn) >>> 6)) / 2 ** 53;
}

function seed() {
  const bytes = host().randomBytes(16);
  return new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 16));
}

/** The next 32 bits of sfc32 (Chris Doty-Humphrey, PractRand). */
function next(state) {
  const [a, b, c, counter] = state;
  const sum = (a + b + counter) | 0;
  state[0] = b ^ (b >>> 9);
  state[1] = (c + (c << 3)) | 0;
  state[2] = (((c << 21) | (c >>> 11)) + sum) | 0;
  state[3] = counter + 1;
  return sum;
}

function start() {
  origin ??= { clock: clock(), date: Date.now() };
  return origin;
}
