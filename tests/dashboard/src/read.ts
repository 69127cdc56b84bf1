/** Reads what a page shows, and what the API has told it. */

import type { Locator, Page } from "@playwright/test";

/** The last answers of the API that a page has received, by path and query. */
export class Answers {
  private readonly answers = new Map<string, unknown>();

  constructor(page: Page) {
    page.on("response", (response) => {
      const { pathname, search } = new URL(response.url());
      if (pathname.startsWith("/v1/") && pathname !== "/v1/stream" && response.ok()) {
        // The body is gone if the page has been left.
        response.json().then(
          (answer) => this.answers.set(pathname + search, answer),
          () => undefined,
        );
      }
    });
  }

  /** The last answer of a path, with any query. */
  of<Answer>(path: string): Answer {
    for (const [url, answer] of [...this.answers].reverse()) {
      if (url === path || url.startsWith(`${path}?`)) {
        return answer as Answer;
      }
    }
    throw new Error(`the page has not read ${path}, but ${[...this.answers.keys()].join(", ")}`);
  }
}

/** The rows of a table as texts by the title of the column. */
export async function rowsOf(table: Locator): Promise<Record<string, string>[]> {
  return table.evaluate((element) => {
    const text = (cell: Element) => cell.textContent?.trim() ?? "";
    const titles = [...element.querySelectorAll('[role="columnheader"]')].map(text);
    return [...element.querySelectorAll('[role="rowgroup"] [role="row"]')].map((row) =>
      Object.fromEntries([...row.querySelectorAll('[role="cell"]')].map((cell, index) => [titles[index], text(cell)])),
    );
  });
}

/** The names and values of a list of facts. */
export async function factsOf(scope: Locator): Promise<Record<string, string>> {
  return scope.locator("dl").first().evaluate((list) =>
    Object.fromEntries(
      [...list.querySelectorAll("dt")].map((name) => [name.textContent, name.nextElementSibling?.textContent?.trim() ?? ""]),
    ),
  );
}
