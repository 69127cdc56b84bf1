import { short } from "../../../host/dashboard/src/model/format";
import { analyzed } from "../src/axe";
import { eventually } from "../src/host";
import { expect, test } from "../src/test";
import { open } from "../src/views";

test("the capabilities of two generations are compared", async ({ page, start }) => {
  const host = await start({ plugins: ["poison"], sidecars: { poison: '[grants]\nhttp = ["a.example", "both.example"]\n' } });
  const first = (await host.plugin("poison")).digest ?? "";
  host.replace("poison", "poison-fixed");
  const second = await eventually("the other build runs", async () => {
    const { digest } = await host.plugin("poison");
    return digest !== first && digest !== null ? digest : undefined;
  });
  host.writeSidecar("poison", '[grants]\nhttp = ["b.example", "both.example"]\n');
  await eventually("the grant is recorded", async () =>
    (await host.plugin("poison")).generations[1]?.granted?.http.includes("b.example"),
  );
  await open(page, host, "/plugins/poison?tab=generations");
  const section = page.getByRole("region", { name: "Differences in capabilities" });
  await expect(section.getByLabel("From generation")).toHaveValue(first);
  await expect(section.getByLabel("To generation")).toHaveValue(second);
  const rows = section.locator("tbody tr");
  await expect(rows).toHaveCount(2);
  await expect(rows.nth(0)).toContainText(/Send requests to.*a\.example.*removed.*granted.*neither requested nor granted/);
  await expect(rows.nth(1)).toContainText(/Send requests to.*b\.example.*added.*neither requested nor granted.*granted/);
  await expect(section.locator("thead")).toContainText(`In ${short(first)}`);
  await expect(section).toContainText("1 capability is the same.");
  expect(await analyzed(page)).toEqual([]);

  // The choice is in the address.
  await section.getByLabel("To generation").selectOption(first);
  await expect(section).toContainText("No differences. 2 capabilities are the same.");
  await page.reload();
  await expect(section.getByLabel("To generation")).toHaveValue(first);
});

test("a generation of an earlier release has no recorded capabilities, and the page says so", async ({ page, start }) => {
  const host = await start({ plugins: ["poison"] });
  const first = (await host.plugin("poison")).digest ?? "";
  host.replace("poison", "poison-fixed");
  await eventually("the other build runs", async () => (await host.plugin("poison")).digest !== first);
  // What a host reports about a record of an earlier release.
  await page.route(/\/v1\/plugins\/poison$/, async (route) => {
    const response = await route.fetch();
    const plugin = await response.json();
    Object.assign(plugin.generations[0], { asks_for: null, granted: null });
    await route.fulfill({ response, json: plugin });
  });
  await open(page, host, "/plugins/poison?tab=generations");
  const section = page.getByRole("region", { name: "Differences in capabilities" });
  await expect(section).toContainText(`The capabilities of generation ${short(first)} are not recorded`);
});
