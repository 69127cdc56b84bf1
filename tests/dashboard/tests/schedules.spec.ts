import { analyzed } from "../src/axe";
import type { Schemas } from "../src/host";
import { expect, test } from "../src/test";
import { open } from "../src/views";

test("the next times of a schedule are shown in its zone and in the reader's", async ({ page, start }) => {
  const host = await start({ plugins: ["keeper"] });
  await open(page, host, "/schedules");
  const { schedules } = await host.api<Schemas["ScheduleList"]>("/schedules");
  const [schedule] = schedules;
  const upcoming = schedule?.upcoming ?? [];
  expect(upcoming).toHaveLength(5);
  expect(upcoming[0]).toBe(schedule?.next);
  const table = page.getByRole("group", { name: `Next times of ${schedule?.id}` });
  const rows = table.locator("tbody tr");
  await expect(rows).toHaveCount(5);
  for (const [index, time] of upcoming.entries()) {
    // The schedule has no zone of its own, so it is in UTC. The reader is in Berlin.
    const utc = new Date(time).toISOString().slice(0, 19).replace("T", " ");
    const cells = rows.nth(index).locator("td");
    await expect(cells.nth(0)).toHaveText(utc);
    await expect(cells.nth(1)).toHaveText("+00:00");
    await expect(cells.nth(2).locator("time")).toContainText("01:00:00");
  }
  await expect(table.locator("th")).toHaveText(["Next times in UTC", "Offset", "In Europe/Berlin"]);
  expect(await analyzed(page)).toEqual([]);
});

test("cancelling a delayed event offers to keep it, and Escape returns to the button", async ({ page, start }) => {
  const host = await start({ plugins: ["keeper"] });
  await host.request("POST", "/keeper/later", { later: true });
  await open(page, host, "/schedules");
  const cancel = page.getByRole("button", { name: /^Cancel the event/ });
  await cancel.click();
  const dialog = page.getByRole("dialog", { name: "Cancel the event" });
  await expect(dialog.getByRole("button")).toHaveText(["Keep the event", "Cancel the event"]);
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await expect(cancel).toBeFocused();
});
