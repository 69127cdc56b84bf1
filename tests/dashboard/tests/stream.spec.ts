import { cuttableProxy } from "../src/cut";
import { eventually, type Schemas } from "../src/host";
import { expect, test } from "../src/test";
import { open, settled } from "../src/views";

/** What the live view says about its connection. */
const CONNECTED = "Connected";

test.use({ expected: [/net::ERR_|Failed to load resource/] });

test("a live view whose connection is cut goes on without a gap or a duplicate", async ({ page, start }) => {
  const host = await start({ plugins: ["keyed"] });
  const proxy = await cuttableProxy(host.admin);
  // All rows fit, so that all are in the document.
  await page.setViewportSize({ width: 1280, height: 4_000 });
  await page.goto(`${proxy.url}/live`);
  await settled(page);
  await expect(page.getByText(CONNECTED, { exact: true })).toBeVisible();
  const table = page.getByRole("table", { name: "Attempts and requests" });
  const publish = async (from: number, until: number) => {
    const entries = Array.from({ length: until - from }, (_, index) => ({
      type: "keyed.entry",
      id: `entry-${from + index}`,
      data: { account: "a", number: from + index },
    }));
    await host.publish(...entries);
    await host.untilIdle();
  };
  const shown = async () => {
    const links = await table.getByRole("link", { name: "keyed.entry" }).all();
    const addresses = await Promise.all(links.map((link) => link.getAttribute("href")));
    return addresses.map((address) => /entry-\d+/.exec(address ?? "")?.[0]).sort();
  };

  await publish(0, 20);
  await expect.poll(shown).toHaveLength(20);
  const before = proxy.requestsFor("/v1/stream");
  proxy.cut();
  await expect(page.getByText(CONNECTED, { exact: true })).toHaveCount(0);
  await publish(20, 40);
  proxy.mend();
  await expect(page.getByText(CONNECTED, { exact: true })).toBeVisible();
  await publish(40, 60);
  await expect(page.getByText("60 attempts", { exact: true })).toBeVisible();

  expect(proxy.requestsFor("/v1/stream")).toBeGreaterThan(before);
  const expected = Array.from({ length: 60 }, (_, index) => `entry-${index}`).sort();
  await expect.poll(shown).toEqual(expected);
  await expect(page.getByText(/lost/)).toHaveCount(0);
  const { attempts } = await host.api<Schemas["RecordedAttemptPage"]>("/attempts?limit=1000");
  expect(attempts).toHaveLength(60);
  await page.close();
  await proxy.close();
});

test("a page whose host is away says so, and shows its data again once the host is back", async ({ page, start }) => {
  const host = await start({ plugins: ["keyed"] });
  const proxy = await cuttableProxy(host.admin);
  await page.goto(`${proxy.url}/`);
  await settled(page);
  await expect(page.getByText("No problems")).toBeVisible();
  proxy.cut();
  await expect(page.getByText("unreachable").first()).toBeVisible();
  proxy.mend();
  await expect(page.getByText("unreachable")).toHaveCount(0);
  await expect(page.getByText("No problems")).toBeVisible();
  await page.close();
  await proxy.close();
});

test("a live view that is paused keeps its rows, and catches up", async ({ page, start }) => {
  const host = await start({ plugins: ["keyed"] });
  await open(page, host, "/live");
  await expect(page.getByText(CONNECTED, { exact: true })).toBeVisible();
  await host.publish({ type: "keyed.entry", id: "first", data: { account: "a", number: 1 } });
  const table = page.getByRole("table", { name: "Attempts and requests" });
  const links = table.getByRole("link", { name: "keyed.entry" });
  await expect(links).toHaveCount(1);
  await page.getByRole("button", { name: "Pause" }).click();
  await host.publish({ type: "keyed.entry", id: "second", data: { account: "a", number: 2 } });
  await expect(page.getByText("1 message arrived while paused")).toBeVisible();
  await expect(links).toHaveCount(1);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(links).toHaveCount(2);
});

test("a live view follows one cause tree", async ({ page, start }) => {
  const host = await start({ plugins: ["registration", "registration-handler"] });
  await open(page, host, "/live");
  await expect(page.getByText(CONNECTED, { exact: true })).toBeVisible();
  const ada = await host.register("Ada");
  const table = page.getByRole("table", { name: "Attempts and requests" });
  const attempt = table.getByRole("row").filter({ hasText: "user.registered" });
  await attempt.getByRole("link", { name: "Follow" }).click();
  await expect(page.getByText(`Only the cause tree ${ada}`)).toBeVisible();
  await expect(page.getByText(CONNECTED, { exact: true })).toBeVisible();
  await host.register("Grace");
  await eventually("both are welcomed", async () => {
    const { events } = await host.api<Schemas["EventPage"]>("/events?type=user.welcomed");
    return events.length === 2;
  });
  await host.untilIdle();
  await page.getByRole("button", { name: "Follow everything" }).click();
  await expect(page.getByText(/Only the cause tree/)).toHaveCount(0);
});
