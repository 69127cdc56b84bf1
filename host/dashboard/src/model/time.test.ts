import { expect, test } from "vitest";
import { timeText, withTimes } from "./time";

test("the times in a sentence are in the chosen zone", () => {
  const at = "2026-07-01T07:00:00.120Z";
  const sentence = `deliveries are on hold until ${at}, unless it is resumed`;
  expect(withTimes(sentence, true)).toBe("deliveries are on hold until 2026-07-01 07:00:00.120 UTC, unless it is resumed");
  expect(withTimes(sentence, false)).toBe(`deliveries are on hold until ${timeText(at, false)}, unless it is resumed`);
  expect(withTimes("attempt 2 at 10:00", false)).toBe("attempt 2 at 10:00");
});
