import { short } from "../../../host/dashboard/src/model/format";
import { eventually, guest, type Schemas } from "../src/host";
import { expect, test } from "../src/test";
import { open, row, settled } from "../src/views";

test("a handler fails, a fixed build is compared and uploaded, and its dead letter is redriven, all by clicking", async ({
  page,
  start,
  expected,
}) => {
  // The page notices that the dead letter is gone.
  expected.push(/404 \(Not Found\) \(.*\/dead-letters\/\d+\)$/);
  const host = await start({ plugins: ["poison"] });
  const [id] = await host.publish({ type: "poison.pill", id: "pill", data: { dose: 3 } });
  const [letter] = await host.deadLetters(1);
  const broken = (await host.plugin("poison")).digest ?? "";

  // The overview leads to the dead letter, which says why and with what.
  await open(page, host, "/");
  await page.getByRole("link", { name: /^Show dead letters: 1 dead letter of poison\/swallow \(trap\)/ }).click();
  await row(page, "Groups of dead letters", "cannot swallow").getByRole("link").first().click();
  await row(page, /^Dead letters of the group/, "poison.pill").getByRole("link", { name: String(letter?.number) }).click();
  await expect(page.getByRole("heading", { level: 1, name: `Dead letter ${letter?.number}` })).toBeVisible();
  await expect(page.getByLabel("Reason of the last failure")).toContainText("this handler cannot swallow");
  await expect(page.getByRole("region", { name: "Attempts" }).getByRole("listitem")).toHaveCount(letter?.history.length ?? 0);
  await expect(page.getByRole("region", { name: "Data" })).toContainText("dose: 3");
  const address = page.url();

  // The fixed build, with a canary first.
  await page.getByRole("link", { name: "Plugins", exact: true }).click();
  await page.getByRole("table", { name: "Plugins" }).getByRole("link", { name: "poison" }).click();
  await page.getByRole("link", { name: "New build" }).click();
  await page.getByLabel("Choose or drop a .wasm file").setInputFiles(guest("poison-fixed"));
  await expect(page.getByText(`poison runs generation ${short(broken)}. Compare the build with it first.`)).toBeVisible();
  await page.getByRole("button", { name: "Run canary" }).click();
  const report = page.getByRole("group", { name: "Result of the canary" });
  await expect(report.locator("dt", { hasText: "Different" }).locator("+ dd")).toHaveText("1");
  await expect(report.getByRole("group", { name: "Differences" })).toContainText("poison.pill for swallow");
  expect((await host.plugin("poison")).digest, "a canary changes nothing").toBe(broken);
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  const upload = page.getByRole("dialog", { name: "Upload poison" });
  await expect(upload).toContainText(`Replaces the generation ${short(broken)} of poison`);
  await expect(upload).toContainText("1 different, 0 inconclusive");
  await expect(upload).toContainText("PUT /v1/plugins/poison/component");
  await upload.getByRole("button", { name: "Upload poison" }).click();
  const fixed = await eventually("the fixed build runs", async () => {
    const { digest } = await host.plugin("poison");
    return digest !== broken && digest !== null ? digest : undefined;
  });
  await expect(page.getByText(`poison runs generation ${short(fixed)}, version`)).toBeVisible();

  // The dead letter again.
  await page.goto(address);
  await page.getByRole("button", { name: "Redrive", exact: true }).click();
  const redrive = page.getByRole("dialog", { name: "Redrive" });
  await expect(redrive).toContainText("Redrives 1 dead letter of poison/swallow.");
  await expect(redrive).toContainText(`POST /v1/dead-letters/redrive?number=${letter?.number}`);
  await redrive.getByRole("button", { name: "Redrive" }).click();
  await expect(page.getByText("Redriven: 1 dead letter.")).toBeVisible();
  await host.deadLetters(0);
  await host.untilIdle();
  const last = page.getByRole("region", { name: "Last redrive" });
  await expect(last.locator("dt", { hasText: /^Handled$/ }).locator("+ dd")).toHaveText("1");

  // Its cause tree ends well.
  await page.getByRole("link", { name: "its cause tree" }).click();
  await settled(page);
  const tree = await host.api<Schemas["CauseTreeView"]>(`/cause-trees/${id}`);
  const [delivery] = tree.events[0]?.deliveries ?? [];
  expect(delivery?.outcome).toBe("handled");
  expect(delivery?.dead_letter).toBeNull();
  await expect(page.getByRole("main")).toContainText("handled");
  await expect(page.getByRole("main").getByText(/^dead letter$/)).toHaveCount(0);
});

test("an upload that another upload overtakes is refused, and says why", async ({ page, start, expected }) => {
  expected.push(/412 \(Precondition Failed\)/);
  const host = await start({ plugins: ["poison"] });
  await open(page, host, "/plugins/poison?tab=build");
  await page.getByLabel("Choose or drop a .wasm file").setInputFiles(guest("poison-fixed"));
  const upload = page.getByRole("button", { name: "Upload without canary" });
  await upload.click();
  const dialog = page.getByRole("dialog", { name: "Upload poison" });
  await expect(dialog).toBeVisible();
  // Somebody else is faster.
  await host.change("POST", "/plugins/poison/disable");
  await dialog.getByRole("button", { name: "Upload poison" }).click();
  await expect(page.getByRole("status").filter({ hasText: /\(.*changed.*\)|precondition/i })).toBeVisible();
});

test("a file that is not a plugin is refused with the reason", async ({ page, start, expected }) => {
  // The page looks whether there is such a plugin.
  expected.push(/422 \(Unprocessable/, /404 \(Not Found\) \(.*\/plugins\/nonsense\)$/);
  const host = await start({ plugins: ["poison"] });
  await open(page, host, "/plugins");
  await page
    .getByLabel("Choose or drop a .wasm file")
    .setInputFiles({ name: "nonsense.wasm", mimeType: "application/wasm", buffer: Buffer.from("nonsense") });
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Upload nonsense" }).click();
  await expect(page.getByRole("status").filter({ hasText: /nonsense|component/ })).toBeVisible();
});

test("a rollback says what it does, and does it", async ({ page, start }) => {
  const host = await start({ plugins: ["poison"] });
  const first = (await host.plugin("poison")).digest ?? "";
  host.replace("poison", "poison-fixed");
  await eventually("the other build runs", async () => (await host.plugin("poison")).digest !== first);
  await open(page, host, "/plugins/poison?tab=generations");
  const generation = page.getByRole("row").filter({ hasText: short(first) });
  await generation.getByRole("button", { name: "Roll back" }).click();
  const dialog = page.getByRole("dialog", { name: "Roll back poison" });
  await expect(dialog).toContainText(`Runs generation ${short(first)}`);
  await dialog.getByRole("button", { name: "Roll back poison" }).click();
  await eventually("the first build runs", async () => (await host.plugin("poison")).digest === first);
  await expect(generation).toContainText("running");
  await expect(page.getByText("rolled back", { exact: true })).toBeVisible();
});

test("a plugin is drained, resumed, disabled and enabled by clicking", async ({ page, start }) => {
  const host = await start({ plugins: ["poison-fixed"] });
  await open(page, host, "/plugins/poison");
  const steps = [
    ["Drain", "drained", "poison is drained."],
    ["Resume", "running", "poison is resumed."],
    ["Disable", "disabled", "poison is disabled."],
    ["Enable", "running", "poison is enabled."],
  ] as const;
  for (const [verb, status, notice] of steps) {
    await page.getByRole("button", { name: verb, exact: true }).click();
    const dialog = page.getByRole("dialog", { name: `${verb} poison` });
    await dialog.getByRole("button", { name: `${verb} poison` }).click();
    await expect(page.getByText(notice)).toBeVisible();
    await eventually(`it is ${status}`, async () => (await host.plugin("poison")).status === status);
    await expect(page.getByRole("main").getByText(status, { exact: true })).toBeVisible();
  }
});
