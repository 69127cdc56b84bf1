import { describe, expect, it } from "vitest";
import { segment, textOf } from "./paths";

describe("a segment of a path", () => {
  it.each(["order-17", "a/b", "100 %", "%2F", "%", "ä?#"])("carries %j through the router", (text) => {
    // The router decodes the path as a whole before it matches.
    expect(textOf(decodeURI(segment(text)))).toBe(text);
  });

  it("has no text if it is malformed", () => {
    expect(textOf("%E0%A4%A")).toBeUndefined();
    expect(textOf("100%")).toBeUndefined();
  });
});
