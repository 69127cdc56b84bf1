import assert from "node:assert/strict";
import { test } from "node:test";

import { reset, install } from "../src/random.js";
import { crypto } from "../src/crypto.js";
import { install as installHost } from "../src/host.js";

/** A host whose random bytes are a counter, so that each seed differs. */
function counting() {
  let drawn = 0;
  return { randomBytes: (count) => Uint8Array.from({ length: count }, () => drawn++ % 251) };
}

/** The random numbers of an invocation. */
function invoked(draw) {
  reset();
  return draw();
}

test("the engine's generator is used at build time, and the host's seed in each invocation", () => {
  const engine = Math.random;
  install();
  const { random } = Math;
  assert.notEqual(random, engine);

  // Without a host, as when a module is loaded at build time.
  installHost(null);
  assert.equal(typeof random(), "number");

  installHost(counting());
  const all = Array.from({ length: 50 }, () => invoked(() => [random(), random(), Math.random()])).flat();
  assert.equal(new Set(all).size, all.length, "no number comes twice");
  assert.ok(all.every((number) => number >= 0 && number < 1));

  // The same seed gives the same numbers, as in a scenario, and the host is asked at most once.
  const again = () => {
    let asked = 0;
    installHost({ randomBytes: (count) => (asked++, new Uint8Array(count).fill(7)) });
    assert.equal(invoked(() => asked), 0, "who does not draw does not ask");
    return [...invoked(() => [random(), random()]), asked];
  };
  assert.deepEqual(again(), again());
  assert.equal(again()[2], 1);
});

test("numbers are spread evenly", () => {
  install();
  installHost(counting());
  const buckets = new Array(16).fill(0);
  reset();
  for (let count = 0; count < 160_000; count++) buckets[Math.floor(Math.random() * 16)]++;
  for (const count of buckets) assert.ok(Math.abs(count - 10_000) < 600, `${buckets}`);
});

test("performance.now() counts from its first use in an invocation", () => {
  install();
  for (let invocation = 0; invocation < 3; invocation++) {
    reset();
    const first = performance.now();
    assert.ok(first >= 0 && first < 1_000, `${first}`);
    assert.ok(performance.now() >= first);
    assert.ok(Math.abs(performance.timeOrigin - Date.now()) < 60_000);
  }
});

test("packages have a source of random numbers", () => {
  installHost(counting());
  const words = new Uint32Array(4);
  assert.equal(crypto.getRandomValues(words.subarray(1, 3)).length, 2);
  assert.deepEqual([words[0], words[3]], [0, 0]);
  assert.notEqual(words[1], words[2]);
  const [one, other] = [crypto.randomUUID(), crypto.randomUUID()];
  assert.match(one, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(one, other);
  assert.throws(() => crypto.getRandomValues(new Float64Array(1)), TypeError);
  assert.throws(() => crypto.getRandomValues([1]), TypeError);
  assert.throws(() => crypto.getRandomValues(new Uint8Array(65_537)), RangeError);
  installHost(null);
  assert.throws(() => crypto.randomUUID(), /use a handler/);
});
