import { expect, test } from "vitest";
import type { Selection } from "./minutes";
import { choicesOf, queryOfValue, valueOf } from "./overview_subjects";

test("a choice survives the address", () => {
  const selections: Selection[] = [{}, { plugin: "mail er" }, { plugin: "mailer", isRoutes: true }, { subscription: "mailer/send" }];
  for (const selection of selections) {
    const query = queryOfValue(valueOf(selection));
    expect({ ...query, routes: undefined, isRoutes: query.routes === "true" || undefined }).toEqual({ routes: undefined, ...selection });
  }
});

test("what is selected is among the choices, even if the host no longer has it", () => {
  const values = (selection: Selection) => choicesOf({}, selection).flatMap(({ choices }) => choices.map(({ value }) => value));
  expect(values({ subscription: "gone/send" })).toContain("subscription gone/send");
  expect(values({ plugin: "gone", isRoutes: true })).toContain("routes gone");
  expect(values({})).toEqual([]);
});
