import { expect, test } from "vitest";
import { changed } from "./query";

test("changes of the query keep the other values", () => {
  const query = new URLSearchParams("plugin=mailer&range=1h");
  expect(changed(query, { range: "6h" }).toString()).toBe("plugin=mailer&range=6h");
  expect(changed(query, { plugin: undefined, range: "" }).toString()).toBe("");
  expect(query.toString()).toBe("plugin=mailer&range=1h");
});
