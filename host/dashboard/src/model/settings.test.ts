import { expect, test } from "vitest";
import { matching, originText, valueText } from "./settings";

const SETTINGS = [
  { key: "listen", value: "127.0.0.1:8080", origin: "flag", source: "--listen" },
  { key: "bus.retain_for", value: null, origin: "default", source: null },
];

test("values and origins are text", () => {
  expect(SETTINGS.map(originText)).toEqual(["flag --listen", "default"]);
  expect(SETTINGS.map(({ value }) => valueText(value))).toEqual(['"127.0.0.1:8080"', "unset"]);
});

test("the search reads keys, values and origins", () => {
  const keys = (text: string) => matching(SETTINGS, text).map(({ key }) => key);
  expect(keys("")).toEqual(["listen", "bus.retain_for"]);
  expect(keys(" RETAIN")).toEqual(["bus.retain_for"]);
  expect(keys("--listen")).toEqual(["listen"]);
  expect(keys("unset")).toEqual(["bus.retain_for"]);
});
