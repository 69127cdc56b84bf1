/** Looks for faults that people with disabilities would meet. */

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

/** What `axe-core` finds in a page, in both themes. Only the contrast depends on the theme. */
export async function analyzed(page: Page): Promise<string[]> {
  await page.emulateMedia({ colorScheme: "light" });
  const light = await analyze(new AxeBuilder({ page }), "light");
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await analyze(new AxeBuilder({ page }).withRules("color-contrast"), "dark");
  return [...light, ...dark];
}

async function analyze(axe: AxeBuilder, theme: string): Promise<string[]> {
  // The pages have no frames. Otherwise, each analysis would open a page of its own.
  const results = await axe.setLegacyMode(true).options({ resultTypes: ["violations"] }).analyze();
  return results.violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${theme}: ${id}: ${node.html.slice(0, 160)}: ${node.failureSummary}`),
  );
}
