import { eventually, guest, type Schemas } from "../src/host";
import { expect, test } from "../src/test";
import { GUESTS, open, populate, viewsOf } from "../src/views";

/** Faults that readers have reported, so that they do not come back. */

test("Resume is offered for a pause, and not because a plugin is gone", async ({ page, start }) => {
  const host = await start({ plugins: ["poison"] });
  await host.change("DELETE", "/plugins/poison");
  await eventually("its subscription does not deliver", async () => (await host.subscription("poison/swallow")).status === "paused");
  await open(page, host, "/subscriptions/poison/swallow");
  await expect(page.getByRole("main")).toContainText("Does not deliver because");
  await expect(page.getByRole("button", { name: "Resume" })).toHaveCount(0);
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await expect(page.getByRole("button", { name: "Resume" })).toBeVisible();
});

test("following a cause tree keeps its rows, and going back shows the others again", async ({ page, start }) => {
  const host = await start({ plugins: ["registration", "registration-handler"] });
  await open(page, host, "/live");
  await expect(page.getByText("Connected")).toBeVisible();
  await host.register("Ada");
  await host.register("Grace");
  await host.untilIdle();
  const { requests } = await host.api<Schemas["RecordedRequestPage"]>("/requests");
  const table = page.getByRole("table", { name: "Attempts and requests" });
  const rows = table.locator('[role="rowgroup"] [role="row"]');
  const { attempts } = await host.api<Schemas["RecordedAttemptPage"]>("/attempts");
  await expect(rows).toHaveCount(attempts.length + requests.length);
  const followed = requests[0]?.correlations[0] ?? "";
  const own = attempts.filter(({ correlation }) => correlation === followed).length + 1;
  expect(own).toBeLessThan(attempts.length + requests.length);
  await rows.filter({ has: page.locator(`a[href*="${requests[0]?.id}"]`) }).getByRole("link", { name: "Follow" }).first().click();
  await expect(page.getByText("Only the cause tree")).toBeVisible();
  await expect(rows).toHaveCount(own);
  await page.goBack();
  await expect(rows).toHaveCount(attempts.length + requests.length);
});

test("a tree that has ended says where its records are", async ({ page, start }) => {
  const host = await start({ plugins: ["registration", "registration-handler"] });
  const id = await host.register("Ada");
  await host.untilIdle();
  await open(page, host, `/live?correlation=${id}`);
  await expect(page.getByText("Nothing of this cause tree has ended since the page was opened.")).toBeVisible();
  await page.getByRole("link", { name: "The whole tree", exact: true }).click();
  await expect(page.getByRole("main")).toContainText("user.registered");
});

test("the commands of the first steps name the host, and a chosen file outlives the arrival of another plugin", async ({
  page,
  start,
  expected,
}) => {
  // The page looks whether there is such a plugin.
  expected.push(/404 \(Not Found\) \(.*\/plugins\/poison\)$/);
  const host = await start();
  await open(page, host, "/");
  await expect(page.getByRole("main")).toContainText(`sandbus publish --admin ${host.admin} user.registered`);
  await page.getByLabel("Choose or drop a .wasm file").setInputFiles(guest("poison"));
  await expect(page.getByText("poison is a new plugin.")).toBeVisible();
  const listed = page.waitForResponse(async (response) => /\/v1\/plugins\?/.test(response.url()) && (await response.text()).includes('"keyed"'));
  host.replace("keyed", "keyed");
  await listed;
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Upload poison" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Overview" })).toBeVisible();
  expect((await host.plugin("poison")).status).toBe("running");
});

test("a refused sidecar is reported once, and the draft stays", async ({ page, start, expected }) => {
  expected.push(/422 \(Unprocessable/);
  const host = await start({ plugins: ["poison"] });
  await open(page, host, "/plugins/poison?tab=sidecar");
  await page.getByLabel("TOML").fill("nonsense = 1\n");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Save sidecar" }).click();
  await expect(page.getByRole("alert")).toContainText("nonsense");
  await expect(page.getByText("invalid-sidecar", { exact: true })).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(1);
  await expect(page.locator(".notice")).toHaveCount(0);
  await expect(page.getByLabel("TOML")).toHaveValue("nonsense = 1\n");
});

test("no view shows times of the host in UTC to a reader in Berlin", async ({ page, start }) => {
  const host = await start({ plugins: GUESTS });
  await populate(host);
  const views = [...(await viewsOf(host)), { name: "a retry", path: "/causes/job-1" }, { name: "a waiting event", path: "/events/job-1" }];
  for (const { name, path } of views) {
    await open(page, host, path);
    const main = page.getByRole("main");
    const stamps = (await main.innerText()).match(/\d{4}-\d\d-\d\dT\d\d:\d\d\S*/g) ?? [];
    // Data and attributes of events are shown as they are.
    const { events } = await host.api<Schemas["EventPage"]>("/events?limit=100");
    const own = JSON.stringify(events.map(({ event }) => event));
    expect.soft(stamps.filter((stamp) => !own.includes(stamp.replace(/["',;]+$/, ""))), name).toEqual([]);
  }
  await open(page, host, "/causes/job-1");
  await expect(page.getByRole("main")).toContainText(/is due at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}/);
});
