import type { Page } from "@playwright/test";
import type { Host } from "../src/host";
import { expect, test } from "../src/test";
import { LISTS, open } from "../src/views";

/** Markup that would run, if a page took it for markup. Each kind of it breaks out of another context. */
const MARKUP = [
  '<img src=x onerror="document.title=`hostile`">',
  "</script><script>document.title=`hostile`</script>",
  "\"'><svg onload=document.title=`hostile`>",
  "javascript:document.title=`hostile`",
  "{{constructor.constructor('document.title=`hostile`')()}}",
];

/** Opens a view, unfolds all of it, and checks that no markup has become an element. */
async function inert(page: Page, host: Host, path: string): Promise<void> {
  await open(page, host, path);
  await page.locator("details:not([open]) > summary").evaluateAll((all) => all.forEach((one) => (one as HTMLElement).click()));
  await expectInert(page, path);
}

async function expectInert(page: Page, where: string): Promise<void> {
  const found = await page.evaluate(() => ({
    images: document.querySelectorAll("img, svg, iframe, object, embed, base, form[action]").length,
    scripts: [...document.scripts].filter((script) => !script.src.startsWith(`${location.origin}/assets/`)).length,
    handlers: document.querySelectorAll("[onerror], [onload], [onclick]").length,
    links: [...document.links].filter((link) => !/^https?:$/.test(link.protocol)).map((link) => link.href),
    title: document.title,
  }));
  expect(found, where).toEqual({
    images: 0,
    scripts: 0,
    handlers: 0,
    links: [],
    title: expect.not.stringMatching(/^hostile$/),
  });
}

test("markup in events, failures, keys and values is inert in every view", async ({ page, start, expected }) => {
  // No plugin and no subscription has such a name.
  expected.push(/40[04] \(.*onerror/);
  test.setTimeout(120_000);
  const host = await start({ plugins: ["hostile", "keeper", "keyed"] });
  await open(page, host, "/live");
  await expect(page.getByText("Connected", { exact: true })).toBeVisible();
  for (const [index, text] of MARKUP.entries()) {
    await host.publish(
      { type: "hostile.order", id: `${index}/${text}`, subject: text, data: { deed: text, [text]: [text] } },
      { type: "keyed.parked", id: `parked-${index}`, subject: text, data: { account: text, number: 1, poison: true } },
      { type: "keeper.bad", id: `bad-${index}`, data: text, note: text },
      { type: "keeper.entry", id: `text-${index}`, datacontenttype: "text/html", data: text },
    );
    await host.request("PUT", `/keeper/${encodeURIComponent(text)}`, { [text]: text });
    await host.request("POST", `/hostile/${encodeURIComponent(text)}`);
  }
  // All but the values of state leave dead letters.
  const letters = await host.deadLetters(4 * MARKUP.length);
  const table = page.getByRole("table", { name: "Attempts and requests" });
  // The oldest rows may be out of sight.
  await expect(async () => {
    await table.evaluate((element) => (element.scrollTop = element.scrollHeight));
    await expect(table).toContainText(MARKUP[0] ?? "", { timeout: 500 });
  }).toPass({ timeout: 15_000 });
  await expectInert(page, "live");

  const event = encodeURIComponent(`0/${MARKUP[0]}`).replaceAll("%25", "%2525");
  const of = (subscription: string) => letters.find((letter) => letter.subscription === subscription)?.number;
  const key = encodeURIComponent(MARKUP[0] ?? "");
  const paths = [
    ...LISTS.map(({ path }) => path),
    `/events/${event}`,
    `/causes/${event}`,
    `/events/text-0`,
    `/dead-letters/${of("hostile/obey")}`,
    `/dead-letters/${of("keyed/parked")}`,
    `/dead-letters?group=${of("hostile/obey")}`,
    `/dead-letters?subscription=${key}`,
    `/plugins/keeper?tab=state`,
    `/plugins/keeper?tab=state&key=${key}`,
    `/plugins/${key}`,
    `/subscriptions/keyed/parked`,
    `/subscriptions/${key}/${key}`,
    `/live?text=${key}&correlation=${key}`,
    `/${key}`,
    `/publish?template=${event}`,
  ];
  for (const path of paths) {
    await inert(page, host, path);
  }
});

test("the names of an event with markup lead to the event, and to its cause tree", async ({ page, start }) => {
  const host = await start({ plugins: ["keyed"] });
  for (const id of ["100%/<b>é?#&", "%2F%25", "a/.."]) {
    await host.publish({ type: "keyed.parked", id, data: { account: id, number: 1, poison: true } });
  }
  const letters = await host.deadLetters(3);
  for (const { number, logged } of letters) {
    const { id } = logged.event;
    await open(page, host, `/dead-letters/${number}`);
    await page.getByRole("region", { name: "Summary" }).getByRole("link", { name: id, exact: true }).click();
    await expect(page.getByRole("region", { name: "Attributes" })).toContainText(id);
    await page.getByRole("link", { name: "Show the cause tree" }).click();
    await expect(page.getByRole("main")).toContainText(id);
    await expect(page.getByRole("alert")).toHaveCount(0);
    // The addresses also work when they are opened.
    await page.reload();
    await expect(page.getByRole("main")).toContainText(id);
    await expect(page.getByRole("alert")).toHaveCount(0);
  }
});
