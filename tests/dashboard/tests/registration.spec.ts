import { counted, micros } from "../../../host/dashboard/src/model/format";
import type { Schemas } from "../src/host";
import { expect, test } from "../src/test";
import { open, row, settled } from "../src/views";

test("a registration arrives live, and its cause tree shows the request, its events and their deliveries", async ({
  page,
  start,
}) => {
  const host = await start({ plugins: ["registration", "registration-handler", "registration-subscriber"] });
  await open(page, host, "/live");
  await expect(page.getByText("Connected", { exact: true })).toBeVisible();
  const id = await host.register("Ada");
  const request = row(page, "Attempts and requests", "POST /register");
  await expect(request).toContainText("201");
  const attempt = row(page, "Attempts and requests", "user.registered");
  await expect(attempt).toContainText("handled");
  await expect(attempt).toContainText("registration-handler/user_registered");
  await expect(page.getByText("1 attempt", { exact: true })).toBeVisible();
  await expect(page.getByText("1 request", { exact: true })).toBeVisible();
  await attempt.getByRole("link", { name: "Show" }).click();

  await expect(page.getByRole("heading", { level: 1, name: "Cause tree" })).toBeVisible();
  await expect(page.getByText("everything has ended")).toBeVisible();
  const tree = await host.api<Schemas["CauseTreeView"]>(`/cause-trees/${id}`);
  const deliveries = tree.events.flatMap((event) => event.deliveries);
  expect(deliveries.map(({ outcome }) => outcome)).toEqual(["handled"]);
  const summary = page.getByRole("status").filter({ hasText: "everything has ended" });
  for (const part of [
    counted(tree.requests.length, "request"),
    counted(tree.events.length, "event"),
    counted(deliveries.length, "delivery", "deliveries"),
  ]) {
    await expect(summary).toContainText(part);
  }

  const rows = page.getByRole("treegrid", { name: "Cause tree" }).getByRole("row");
  const usage = (queued = 0, ran = 0) => `queued ${micros(queued)}, ran ${micros(ran)}`;
  const [posted] = tree.requests;
  const [handled] = deliveries[0]?.attempts ?? [];
  const expected: [level: number, ...texts: string[]][] = [
    [1, "POST /register by registration", "201", usage(posted?.queued_us, (posted?.took_us ?? 0) - (posted?.queued_us ?? 0))],
    [2, "user.registered"],
    [3, "registration-handler/user_registered", "handled", usage(handled?.queued_us, handled?.took_us)],
    [4, "user.welcomed", "No subscription matches it."],
  ];
  await expect(rows).toHaveCount(expected.length + 1);
  for (const [index, [level, ...texts]] of expected.entries()) {
    const shown = rows.nth(index + 1);
    await expect(shown).toHaveAttribute("aria-level", String(level));
    for (const text of texts) {
      await expect(shown).toContainText(text);
    }
  }

  // The rows lead on, also with the keyboard.
  await rows.nth(1).focus();
  await page.keyboard.press("ArrowDown");
  await expect(rows.nth(2)).toBeFocused();
  await page.keyboard.press("ArrowLeft");
  await expect(rows).toHaveCount(3);
  await page.keyboard.press("ArrowRight");
  await expect(rows).toHaveCount(expected.length + 1);
  await rows.nth(4).getByRole("link", { name: "user.welcomed" }).click();
  await settled(page);
  await expect(page.getByRole("heading", { level: 1, name: "user.welcomed" })).toBeVisible();
  await expect(page.getByRole("region", { name: "Payload" })).toContainText("Welcome, Ada!");
});

test("an event is published with the form, and says who gets it", async ({ page, start }) => {
  const host = await start({ plugins: ["keyed"] });
  await open(page, host, "/publish");
  await page.getByLabel("Type", { exact: true }).fill("keyed.entry");
  await page.getByLabel(/^Data/).fill('{"account": "a", "number": 7}');
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Publish" });
  await expect(dialog).toContainText("keyed/entry");
  await dialog.getByRole("button", { name: "Publish" }).click();
  await expect(page.getByText(/^Published /)).toBeVisible();
  await host.untilIdle();
  await expect
    .poll(async () => (await host.api<Schemas["EventPage"]>("/events?type=keyed.entry")).events.map(({ event }) => event.data))
    .toEqual([{ account: "a", number: 7 }]);
});
