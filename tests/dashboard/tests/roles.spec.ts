import type { Page } from "@playwright/test";
import { Host, type Role } from "../src/host";
import { expect, test } from "../src/test";
import { GUESTS, logIn, open, populate, settled, type View, viewsOf } from "../src/views";

/** Verbs of buttons and links that change something. */
const CHANGES =
  /^(Add|Apply|Change|Save|Undo|Cancel the event|Create|Compact|Delete|Disable|Drain|Drop|Edit|Enable|Ignore|Pause|Publish|Redrive|Remove|Reopen|Replay|Resolve|Resume|Retry|Revoke|Roll back|Rotate|Run (a )?canary|Run against|Send|Set|Start|Stop|Upload|Back up)\b/;

/** Buttons that only change what the page shows. */
const HARMLESS: Record<string, RegExp> = { "/live": /^(Pause|Resume)$/ };

/** What an observer of the page can change: the names of its buttons, and its file inputs. */
async function changesOn(page: Page, { path }: View): Promise<string[]> {
  const buttons = page.getByRole("main").getByRole("button");
  const names = await buttons.evaluateAll((all) => all.map((one) => one.getAttribute("aria-label") ?? one.textContent ?? ""));
  const files = await page.getByRole("main").locator('input[type="file"]').count();
  const changing = names.map((name) => name.trim()).filter((name) => CHANGES.test(name) && !HARMLESS[path]?.test(name));
  return [...new Set([...changing, ...(files > 0 ? ["(a file)"] : [])])];
}

test.describe("with tokens", () => {
  let host: Host;
  let views: View[];
  const tokens = new Map<string, string>();

  test.use({ expected: [/401 \(Unauthorized\)/] });

  test.beforeAll(async () => {
    host = await Host.start({ plugins: GUESTS, config: "[access]\nrequire_tokens = true\n" });
    host.useNewToken("admin");
    await populate(host);
    views = await viewsOf(host);
    for (const role of ["view", "operate", "deploy", "admin"] as const) {
      tokens.set(role, await host.newToken(role));
    }
    tokens.set("hidden", await host.newToken("view", { hide_payloads: true }));
    tokens.set("keeper", await host.newToken("view", { plugin: "keeper" }));
  });
  test.afterAll(() => host.stop());

  const token = (name: string) => tokens.get(name) ?? "";
  const changes = async (page: Page, role: Role): Promise<Map<string, string[]>> => {
    await logIn(page, host, token(role));
    const found = new Map<string, string[]>();
    for (const view of views) {
      await open(page, host, view.path);
      found.set(view.name, await changesOn(page, view));
    }
    return found;
  };

  test("a viewer sees no button that changes something", async ({ page }) => {
    for (const [view, names] of await changes(page, "view")) {
      expect(names, view).toEqual([]);
    }
    await expect(page.getByRole("link", { name: "Publish" })).toHaveCount(0);
  });

  test("an operator may redrive and pause, and not deploy", async ({ page }) => {
    const found = await changes(page, "operate");
    expect(found.get("dead letter")).toEqual(expect.arrayContaining(["Redrive", "Drop"]));
    expect(found.get("subscription")?.join()).toMatch(/Pause/);
    expect(found.get("plugin")?.join()).toMatch(/Drain/);
    expect(found.get("plugin")?.join()).not.toMatch(/Disable|Remove/);
    expect(found.get("plugins")).toEqual([]);
    expect(found.get("new build")).toEqual(found.get("plugin"));
    expect(found.get("sidecar")).toEqual(found.get("plugin"));
    await expect(page.getByRole("link", { name: "Publish" })).toBeVisible();
  });

  test("a deployer may upload, and not redrive", async ({ page }) => {
    const found = await changes(page, "deploy");
    expect(found.get("dead letter")).toEqual([]);
    expect(found.get("subscription")).toEqual([]);
    expect(found.get("plugins")).toContain("(a file)");
    expect(found.get("new build")).toContain("(a file)");
    expect(found.get("plugin")).toEqual(expect.arrayContaining(["Drain", "Disable", "Remove"]));
    await expect(page.getByRole("link", { name: "Publish" })).toHaveCount(0);
  });

  test("an administrator may do everything", async ({ page }) => {
    const found = await changes(page, "admin");
    expect(found.get("dead letter")).toEqual(expect.arrayContaining(["Redrive", "Drop"]));
    expect(found.get("subscription")?.join()).toMatch(/Pause/);
    expect(found.get("new build")).toContain("(a file)");
    expect(found.get("system")?.join()).toMatch(/token/i);
  });

  test("payloads are hidden from a token that must not see them", async ({ page }) => {
    await logIn(page, host, token("hidden"));
    for (const view of views) {
      await open(page, host, view.path);
      const text = await page.getByRole("main").innerText();
      expect(text, view.name).not.toMatch(/(ada|grace)@example\.com|forty-two/i);
    }
    const event = views.find(({ name }) => name === "event")?.path ?? "";
    await open(page, host, event);
    await expect(page.getByRole("region", { name: "Payload" })).toContainText("your role does not show it");
    // The others do see it.
    await page.context().clearCookies();
    await logIn(page, host, token("view"), event);
    await expect(page.getByRole("region", { name: "Payload" })).toContainText("grace@example.com");
  });

  test("a token of one plugin sees that plugin, and is told why it sees no other", async ({ page, expected }) => {
    expected.push(/403 \(Forbidden\)/);
    await logIn(page, host, token("keeper"));
    expect(page.url()).toBe(`${host.admin}/plugins/keeper`);
    await expect(page.getByRole("navigation", { name: "Pages" }).getByRole("link")).toHaveText(["keeper", "Live"]);
    await expect(page.getByRole("heading", { level: 1 })).toContainText("keeper");
    await expect(page.getByText("view for keeper only")).toBeVisible();
    await open(page, host, "/plugins/poison");
    await expect(page.getByRole("alert").first()).toBeVisible();
  });

  test("a wrong token is refused with the reason, and the right one leads to the page that was asked for", async ({ page }) => {
    await page.goto(`${host.admin}/subscriptions`);
    await page.getByLabel("Token").fill("sbt_00000000_nonsense");
    await page.getByRole("button", { name: "Log in" }).click();
    await expect(page.getByRole("alert")).toContainText(/token/i);
    await page.getByLabel("Token").fill(token("view"));
    await page.keyboard.press("Enter");
    await expect(page.getByRole("heading", { level: 1, name: "Subscriptions" })).toBeVisible();
    expect(page.url()).toBe(`${host.admin}/subscriptions`);
  });

  test("after logging out, the page shows nothing until somebody logs in", async ({ page }) => {
    await logIn(page, host, token("admin"));
    const cookies = await page.context().cookies();
    expect(cookies).toHaveLength(1);
    expect(cookies[0]).toMatchObject({ httpOnly: true, sameSite: "Lax" });
    expect(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain("sbt_");
    await page.getByRole("button", { name: "Log out" }).click();
    await expect(page.getByLabel("Token")).toBeVisible();
    expect(await page.context().cookies()).toEqual([]);
    await page.goto(`${host.admin}/plugins`);
    await expect(page.getByLabel("Token")).toBeVisible();
    await expect(page.getByText("registration-handler")).toHaveCount(0);
  });

  test("a token that is revoked ends what the page shows", async ({ page }) => {
    const revoked = await host.newToken("view");
    await logIn(page, host, revoked, "/plugins");
    await settled(page);
    await host.change("DELETE", `/tokens/${revoked.split("_")[1]}`);
    await expect(page.getByLabel("Token")).toBeVisible();
  });
});
