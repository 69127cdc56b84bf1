import type { Page } from "@playwright/test";
import { count, counted } from "../../../host/dashboard/src/model/format";
import { eventually, type Host, type Schemas } from "../src/host";
import { expect, test } from "../src/test";
import { open } from "../src/views";

/** Times between frames and of long tasks in a page, in milliseconds. */
interface Pace {
  frames: number[];
  tasks: number[];
}

/** Begins to measure the frames of a page. */
async function measure(page: Page): Promise<() => Promise<string>> {
  await page.evaluate(() => {
    const pace: Pace = { frames: [], tasks: [] };
    (window as unknown as { pace: Pace }).pace = pace;
    new PerformanceObserver((list) => pace.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
      entryTypes: ["longtask"],
    });
    let last = performance.now();
    const frame = (now: number) => {
      pace.frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  return async () => {
    const { frames, tasks } = await page.evaluate(() => (window as unknown as { pace: Pace }).pace);
    const sorted = frames.toSorted((first, second) => first - second);
    const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(0);
    const longest = Math.max(0, ...tasks).toFixed(0);
    const text = `${sorted.length} frames, p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`;
    return `${text}; ${tasks.length} long tasks, longest ${longest} ms`;
  };
}

async function publishMany(host: Host, total: number, type: string): Promise<void> {
  const size = 10_000;
  for (let first = 0; first < total; first += size) {
    const numbers = Array.from({ length: Math.min(size, total - first) }, (_, index) => first + index);
    await host.publish(...numbers.map((number) => ({ type, id: `n-${number}`, data: number })));
  }
}

test("a log of 100,000 events scrolls to its beginning with few rows in the document", async ({ page, start }) => {
  test.setTimeout(180_000);
  const total = 100_000;
  const host = await start();
  await publishMany(host, total, "many.events");
  await open(page, host, "/events");
  const table = page.getByRole("table", { name: "Events" });
  const pace = await measure(page);
  const began = Date.now();
  // Like a reader who holds the End key.
  await table.evaluate((element) => {
    const step = () => {
      element.scrollTop = element.scrollHeight;
      if (!document.body.innerText.includes("All 100,000 events")) {
        requestAnimationFrame(step);
      }
    };
    step();
  });
  await expect(page.getByText(`All ${count(total)} events`)).toBeVisible({ timeout: 120_000 });
  console.log(`all ${count(total)} events were read in ${((Date.now() - began) / 1_000).toFixed(1)} s: ${await pace()}`);

  await expect(table).toHaveAttribute("aria-rowcount", String(total + 1));
  const { events } = await host.api<Schemas["EventPage"]>("/events?before=2");
  const first = table.getByRole("row").filter({ has: page.getByText("n-0", { exact: true }) });
  await expect(first).toBeVisible();
  await expect(first).toContainText(count(events[0]?.position ?? 0));

  const scrolling = await measure(page);
  for (const share of [0.5, 0.1, 0.9, 0.25, 0.75, 0]) {
    const index = Math.round(share * (total - 1));
    await table.evaluate((element, to) => (element.scrollTop = to * element.scrollHeight), share);
    const near = table.locator(`[aria-rowindex="${Math.max(index, 0) + 2}"]`);
    await expect(near).toContainText(`n-${total - 1 - index}`);
    expect(await page.getByRole("row").count()).toBeLessThan(100);
  }
  console.log(`scrolling in ${count(total)} events: ${await scrolling()}`);
});

test("a live view keeps up with 2,000 events per second, counts all, and says that it shows a sample", async ({ page, start }) => {
  test.setTimeout(120_000);
  const [rate, seconds] = [2_000, 5];
  const host = await start({ plugins: ["bench-acker"] });
  await open(page, host, "/live");
  await expect(page.getByText("Connected", { exact: true })).toBeVisible();
  const pace = await measure(page);
  const began = performance.now();
  const batches = 20 * seconds;
  for (let batch = 0; batch < batches; batch += 1) {
    const due = began + (1_000 * batch) / 20;
    await expect.poll(() => performance.now() >= due, { intervals: [5] }).toBe(true);
    await host.publish(...Array.from({ length: rate / 20 }, () => ({ type: "bench.taken", data: "x" })));
  }
  const took = (performance.now() - began) / 1_000;
  const sampled = page.getByText(/^Showing 1 in \d+ of [\d,]+\/s; every failure is shown\. The counts include all\.$/);
  await expect(sampled).toBeVisible();
  await host.untilIdle();
  const total = rate * seconds;
  const counters = page.getByText(/^[\d,]+ (attempts|records lost)$/);
  await expect
    .poll(async () => {
      const texts = await counters.allInnerTexts();
      return texts.reduce((sum, text) => sum + Number(text.replace(/\D/g, "")), 0);
    })
    .toBe(total);
  console.log(`live at ${(total / took).toFixed(0)} events/s: ${await pace()}; shown: ${(await counters.allInnerTexts()).join(", ")}`);
  const subjects = await eventually("the ledger has written all", async () => {
    const { ledger, subjects } = await host.api<Schemas["StatisticsView"]>("/statistics");
    return ledger.written === total && subjects;
  });
  expect(subjects.find(({ plugin }) => plugin === "bench-acker")?.failed).toBe(0);
  expect(await page.getByRole("row").count()).toBeLessThan(100);
  await expect(page.getByText(counted(0, "failure"), { exact: true })).toBeVisible();
  // The page still answers a click at once.
  await page.getByRole("button", { name: "Pause" }).click({ timeout: 1_000 });
  await expect(page.getByRole("button", { name: "Resume" })).toBeVisible({ timeout: 1_000 });
});
