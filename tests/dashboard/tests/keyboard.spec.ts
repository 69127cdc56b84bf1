import type { Locator, Page } from "@playwright/test";
import { expect, test } from "../src/test";
import { open, settled } from "../src/views";

/** Presses Tab until an element has the focus. On the way, the focus must always be visible. */
async function tabTo(page: Page, target: Locator): Promise<void> {
  await expect(target).toBeVisible();
  for (let presses = 0; presses < 150; presses += 1) {
    await page.keyboard.press("Tab");
    expect(await focusIsVisible(page), `the focus shows at ${await focused(page)}`).toBe(true);
    if (await target.evaluate((element) => element === document.activeElement)) {
      return;
    }
  }
  throw new Error(`Tab does not lead to ${target.toString()}`);
}

function focusIsVisible(page: Page): Promise<boolean> {
  return page.evaluate(() => {
    const element = document.activeElement;
    if (element === null || element === document.body) {
      // The focus is in the browser's own controls.
      return true;
    }
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const { width, height } = element.getBoundingClientRect();
    return element.matches(":focus-visible") && outlineStyle !== "none" && outlineWidth !== "0px" && width * height > 0;
  });
}

function focused(page: Page): Promise<string> {
  return page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200) ?? "nothing");
}

test("a person with a keyboard goes from the overview to a dead letter and redrives it", async ({ page, start, expected }) => {
  // The page notices that the dead letter is gone.
  expected.push(/404 \(Not Found\) \(.*\/dead-letters\/\d+\)$/);
  const host = await start({ plugins: ["poison"] });
  await host.publish({ type: "poison.pill", id: "pill" });
  const [letter] = await host.deadLetters(1);
  await open(page, host, "/");

  await tabTo(page, page.getByRole("link", { name: /^Show dead letters: 1 dead letter of poison\/swallow/ }));
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Dead letters" })).toBeFocused();
  const groups = page.getByRole("table", { name: "Groups of dead letters" });
  await tabTo(page, groups.getByRole("link").first());
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: /^Dead letters like/ })).toBeFocused();
  const letters = page.getByRole("table", { name: /^Dead letters of the group/ });
  await tabTo(page, letters.getByRole("link", { name: String(letter?.number), exact: true }));
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: `Dead letter ${letter?.number}` })).toBeFocused();

  const redrive = page.getByRole("button", { name: "Redrive", exact: true });
  await tabTo(page, redrive);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Redrive" });
  await expect(dialog).toBeVisible();
  await expect(dialog).toContainText("Redrives 1 dead letter of poison/swallow.");
  await expect.poll(() => dialog.evaluate((element) => element.contains(document.activeElement))).toBe(true);
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await expect(redrive).toBeFocused();

  host.replace("poison", "poison-fixed");
  await expect.poll(async () => (await host.plugin("poison")).generations.length).toBe(2);
  await page.keyboard.press("Enter");
  await tabTo(page, dialog.getByRole("button", { name: "Redrive" }));
  await page.keyboard.press("Enter");
  await expect(dialog).toBeHidden();
  await expect(page.getByText("Redriven: 1 dead letter.")).toBeVisible();
  await host.deadLetters(0);
  await expect(page.getByText(/no longer exists/)).toBeVisible();
  expect(await focused(page), "the focus is not lost").not.toMatch(/^<body/);
});

test("the focus goes to the title of each page, and a first link leads past the navigation", async ({ page, start }) => {
  const host = await start();
  await open(page, host, "/events");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the page" }), "a document begins at its beginning").toBeFocused();
  const navigation = page.getByRole("navigation", { name: "Pages" });
  await navigation.getByRole("link", { name: "Plugins" }).focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Plugins" })).toBeFocused();
  await page.reload();
  await settled(page);
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.keyboard.press("Tab");
  await tabTo(page, page.getByRole("link", { name: "Skip to the page" }));
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  const isPast = await navigation.evaluate((element) => !element.contains(document.activeElement));
  expect(isPast).toBe(true);
});
