import { analyzed } from "../src/axe";
import { Host } from "../src/host";
import { expect, test } from "../src/test";
import { GUESTS, LISTS, open, populate, type View, viewsOf } from "../src/views";

test.describe("with data", () => {
  let host: Host;
  let views: View[];
  test.beforeAll(async () => {
    host = await Host.start({ plugins: GUESTS });
    await populate(host);
    views = await viewsOf(host);
  });
  test.afterAll(() => host.stop());

  test("axe finds no fault in any view, light or dark", async ({ page }) => {
    test.setTimeout(120_000);
    for (const view of views) {
      await open(page, host, view.path);
      expect.soft(await analyzed(page), view.name).toEqual([]);
    }
  });

  test("axe finds no fault in a dialog", async ({ page }) => {
    await open(page, host, views.find(({ name }) => name === "dead letter")?.path ?? "");
    await page.getByRole("button", { name: "Drop", exact: true }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
    expect(await analyzed(page)).toEqual([]);
  });

  test("no view scrolls sideways on a phone, and the menu works", async ({ page }) => {
    await page.setViewportSize({ width: 390, height: 844 });
    for (const view of views) {
      await open(page, host, view.path);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect.soft(overflow, view.name).toBeLessThanOrEqual(0);
    }
    await open(page, host, "/");
    const plugins = page.getByRole("link", { name: "Plugins", exact: true });
    await expect(plugins).toBeHidden();
    const menu = page.getByRole("button", { name: "Menu" });
    await menu.click();
    await expect(menu).toHaveAttribute("aria-expanded", "true");
    await plugins.click();
    await expect(page.getByRole("heading", { level: 1, name: "Plugins" })).toBeVisible();
    await expect(plugins).toBeHidden();
    expect.soft(await analyzed(page)).toEqual([]);
  });

  test("times are in the reader's zone, and one click shows UTC", async ({ page }) => {
    await open(page, host, views.find(({ name }) => name === "dead letter")?.path ?? "");
    const time = page.getByRole("main").locator("time").first();
    const at = new Date((await time.getAttribute("datetime")) ?? "");
    const berlin = at.toLocaleTimeString("en-GB", { timeZone: "Europe/Berlin" });
    await expect(time).toContainText(berlin);
    await page.getByRole("button", { name: "Europe/Berlin" }).click();
    await expect(time).toContainText(at.toISOString().slice(11, 19));
    await page.reload();
    await expect(page.getByRole("button", { name: "UTC" })).toHaveAttribute("aria-pressed", "true");
  });
});

test.describe("on an empty host", () => {
  let host: Host;
  test.beforeAll(async () => {
    host = await Host.start();
  });
  test.afterAll(() => host.stop());

  test("axe finds no fault in any view, light or dark, and each says what to do next", async ({ page }) => {
    test.setTimeout(120_000);
    for (const view of LISTS) {
      await open(page, host, view.path);
      expect.soft(await analyzed(page), view.name).toEqual([]);
    }
    for (const path of ["/live", "/events", "/dead-letters", "/plugins", "/subscriptions", "/schedules"]) {
      await open(page, host, path);
      const empty = page.getByRole("main").locator(".empty");
      await expect(empty.first(), path).toBeVisible();
      await expect(empty.locator("a, code, button").first(), path).toBeVisible();
    }
  });

  test("the first view leads to the first plugin", async ({ page }) => {
    await open(page, host, "/");
    await expect(page.getByRole("heading", { level: 1, name: "Welcome to Sandbus" })).toBeVisible();
    await expect(page.getByRole("main")).toContainText("sandbus new");
  });
});

test.describe("before the login", () => {
  test.use({ expected: [/401 \(Unauthorized\)/] });

  test("axe finds no fault in the form, also with an error and on a phone", async ({ page, start }) => {
    const host = await start({ config: "[access]\nrequire_tokens = true\n" });
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(host.admin);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    expect(await analyzed(page)).toEqual([]);
    await page.getByLabel("Token").fill("nonsense");
    await page.getByRole("button", { name: "Log in" }).click();
    await expect(page.getByRole("alert")).toBeVisible();
    expect(await analyzed(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  });
});
