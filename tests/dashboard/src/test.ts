/** The fixtures of the tests. */

import { test as base, expect, type Page } from "@playwright/test";
import { Host, type Setup } from "./host";

export { expect };

interface Fixtures {
  /** Starts a host for this test. It ends with the test. */
  start: (setup?: Setup) => Promise<Host>;
  /** Complaints of the browser that the test expects. */
  expected: RegExp[];
  /** Fails the test if the browser complains. */
  complaints: void;
}

/** A plugin without a sidecar is no fault, but the browser reports each response with an error status. */
const ORDINARY = [/404 \(Not Found\) \(.*\/sidecar\)$/];

/** A test with hosts. It fails if a script fails, a dialog opens, or the content security policy is violated. */
export const test = base.extend<Fixtures>({
  start: async ({ page }, use) => {
    const hosts: Host[] = [];
    await use(async (setup) => {
      const host = await Host.start(setup);
      hosts.push(host);
      return host;
    });
    // A page that is still open would report that its host is gone.
    if (!page.isClosed()) {
      await page.goto("about:blank");
    }
    await Promise.all(hosts.map((host) => host.stop()));
  },
  expected: [[], { option: true }],
  complaints: [
    async ({ page, expected }, use) => {
      const complaints = watch(page);
      await use();
      const isExpected = (text: string) => [...ORDINARY, ...expected].some((pattern) => pattern.test(text));
      expect(complaints.filter((text) => !isExpected(text))).toEqual([]);
    },
    { auto: true },
  ],
});

/** Collects what the browser complains about on a page. */
export function watch(page: Page): string[] {
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      const { url } = message.location();
      complaints.push(url === "" ? message.text() : `${message.text()} (${url})`);
    }
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return complaints;
}
