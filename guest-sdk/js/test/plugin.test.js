import assert from "node:assert/strict";
import { test } from "node:test";

import { plugin } from "@sandbus/sdk";

const nothing = () => {};

test("the descriptor has all declarations", () => {
  const described = plugin({
    name: "shop",
    version: "1.2.3",
    publishes: ["order.priced"],
    subscribes: ["order.>"],
    config: { greeting: "Hello", token: null, lang: { default: "en", description: "Which language" } },
  })
    .on(
      "order.placed",
      {
        filters: [{ exact: { subject: "x" } }],
        orderingKey: "/customer/id",
        deadLetterPolicy: "park",
        maxBacklog: 10,
        timeout: "2s",
      },
      nothing,
    )
    .on(
      "order.*",
      {
        name: "all",
        start: { position: 7 },
        retry: { maxAttempts: 5, initialDelay: "200ms", backoffMultiplier: 1.5, jitter: 0.5, nonRetryable: ["trap"] },
      },
      nothing,
    )
    .schedule("0 9 * * *", { name: "daily", timezone: "Europe/Vienna", missed: "skip", data: { a: 1 } }, nothing)
    .route("post /orders/{id}", nothing)
    .describe();
  const [placed, all, daily] = described.subscriptions;
  assert.deepEqual(placed, {
    name: "order-placed",
    pattern: "order.placed",
    filters: '[{"exact":{"subject":"x"}}]',
    start: null,
    concurrency: null,
    orderingKey: "/customer/id",
    deadLetterPolicy: "park",
    retry: null,
    maxBacklog: 10,
    timeoutMs: 2_000,
  });
  assert.deepEqual(all.start, { tag: "position", val: 7 });
  assert.deepEqual(all.retry, {
    attempts: 5,
    firstDelayMs: 200,
    factorPercent: 150,
    maxDelayMs: null,
    jitterPercent: 50,
    permanent: ["trap"],
  });
  assert.deepEqual([daily.name, daily.pattern, daily.concurrency], ["daily", "schedule.shop.daily", 1]);
  const [schedule] = described.schedules;
  assert.deepEqual(
    [schedule.cron, schedule.timezone, schedule.missed, schedule.type],
    ["0 9 * * *", "Europe/Vienna", "skip", "schedule.shop.daily"],
  );
  assert.equal(new TextDecoder().decode(schedule.data), '{"a":1}');
  assert.deepEqual(described.routes, [{ method: "POST", path: "/orders/{id}" }]);
  assert.deepEqual(described.publishes, ["order.priced", "schedule.shop.daily"]);
  assert.deepEqual(described.config, [
    { name: "greeting", default: "Hello", description: null },
    { name: "token", default: null, description: null },
    { name: "lang", default: "en", description: "Which language" },
  ]);
});

test("package.json names a plugin that has no name", () => {
  const described = plugin().describedBy({ name: "shop", version: "1.0.0", description: "Sells" }).describe();
  assert.deepEqual([described.name, described.version, described.description], ["shop", "1.0.0", "Sells"]);
  assert.equal(plugin({ name: "own" }).describedBy({ name: "shop" }).describe().name, "own");
  assert.throws(() => plugin().describe(), /has no name/);
});

test("mistakes in a declaration are named", () => {
  const shop = () => plugin({ name: "shop" });
  assert.throws(() => plugin({ nam: "shop" }), /unknown option `nam`/);
  assert.throws(() => shop().on("a", { retries: 3 }, nothing), /unknown option `retries`/);
  assert.throws(
    () =>
      shop()
        .on("a", { retry: { attempt: 3 } }, nothing)
        .describe(),
    /unknown option `attempt`/,
  );
  assert.throws(() => shop().on("a", { timeout: "soon" }, nothing).describe(), /not a duration/);
  for (const initialDelay of ["36526d", Number.MAX_SAFE_INTEGER, 2 ** 64, "1e9d", Infinity])
    assert.throws(() => shop().on("a", { retry: { initialDelay } }, nothing), /too long|not a duration/);
  assert.doesNotThrow(() => shop().on("a", { retry: { maxDelay: "36525d" } }, nothing));
  assert.throws(() => shop().on("a", { start: "then" }, nothing).describe(), /start must be/);
  assert.throws(() => shop().on("a"), /a function/);
  assert.throws(() => shop().on("a.b", nothing).on("a.b", nothing), /two handlers are called `a-b`/);
  assert.throws(() => shop().route("/orders", nothing), /write a method and a path/);
});
