/**
 * Takes pictures of every view of a host that has handled a few minutes of traffic: all of them, light, dark and on a
 * phone, to `target/screenshots`, and those that the documentation uses to `docs/images`.
 */

import { copyFileSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { eventually, Host, type Schemas } from "./host";
import { expect, test } from "./test";
import { GUESTS, open, populate, viewsOf } from "./views";

const ROOT = resolve(import.meta.dirname, "../../..");
const ALL = join(ROOT, "target/screenshots");
const USED = join(ROOT, "docs/images");

/** How many whole minutes the charts show. */
const MINUTES = 6;

/** The pictures that the documentation uses. */
const DOCUMENTED = new Set(["overview-light", "cause-tree-light", "event-light", "plugin-light"]);

const LOOKS = [
  { name: "light", colorScheme: "light", size: { width: 1280, height: 800 } },
  { name: "dark", colorScheme: "dark", size: { width: 1280, height: 800 } },
  { name: "phone", colorScheme: "light", size: { width: 390, height: 844 } },
] as const;

/** Sends a mix of requests and events until the host has the figures of some whole minutes. */
async function work(host: Host): Promise<void> {
  let sent = 0;
  await eventually(
    `the host has ${MINUTES} minutes of figures`,
    async () => {
      sent += 1;
      await host.register(`User ${sent}`);
      // The load comes and goes.
      await delay(10 + 40 * (1 + Math.sin(sent / 300)));
      if (sent % 5 === 0) {
        await host.publish({ type: "flaky.job", data: { job: sent } });
      }
      const { minutes } = await host.api<Schemas["MinutePage"]>("/statistics/minutes?limit=1000");
      return new Set(minutes.map(({ at }) => at)).size >= MINUTES;
    },
    (MINUTES + 2) * 60_000,
  );
}

test("pictures of every view", async ({ page, start }) => {
  test.setTimeout((MINUTES + 8) * 60_000);
  const host = await start({ plugins: GUESTS });
  await populate(host);
  await work(host);
  mkdirSync(ALL, { recursive: true });
  mkdirSync(USED, { recursive: true });
  for (const view of await viewsOf(host)) {
    for (const { name, colorScheme, size } of LOOKS) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await open(page, host, view.name === "overview" ? "/?range=15m" : view.path);
      if (view.name === "live") {
        await host.register(`Alan of the ${name} picture`);
        await expect(page.getByRole("row").nth(1)).toBeVisible();
      }
      if (view.name === "overview") {
        await expect(page.locator("canvas").first()).toBeVisible();
      }
      const picture = `${view.name.replaceAll(" ", "-")}-${name}`;
      await page.screenshot({ path: join(ALL, `${picture}.png`) });
      if (DOCUMENTED.has(picture)) {
        copyFileSync(join(ALL, `${picture}.png`), join(USED, `${picture}.png`));
      }
    }
  }
});
