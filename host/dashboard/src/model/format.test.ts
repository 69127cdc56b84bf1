import { expect, test } from "vitest";
import { bytes, counted, micros, percent, seconds } from "./format";

test("durations have at most three digits or two units", () => {
  const cases: [number, string][] = [
    [0, "0 µs"],
    [999, "999 µs"],
    [1_000, "1 ms"],
    [12_345, "12.3 ms"],
    [999_400, "999 ms"],
    [999_600, "1 s"],
    [3_210_000, "3.21 s"],
    [60_000_000, "1 min"],
    [3_599_000_000, "59 min 59 s"],
    [7_500_000_000, "2 h 5 min"],
    [266_400_000_000, "3 d 2 h"],
  ];
  for (const [value, text] of cases) {
    expect(micros(value)).toBe(text);
  }
  expect(seconds(59.96)).toBe("1 min");
  expect(seconds(86_400)).toBe("1 d");
});

test("sizes, counts and shares have units", () => {
  expect(bytes(512)).toBe("512 B");
  expect(bytes(1_536)).toBe("1.5 KiB");
  expect(bytes(20 * 1024 * 1024)).toBe("20 MiB");
  expect(counted(1, "event")).toBe("1 event");
  expect(counted(1_204, "event")).toBe("1,204 events");
  expect(counted(2, "delivery", "deliveries")).toBe("2 deliveries");
  expect(percent(1, 250)).toBe("0.4 %");
  expect(percent(0, 0)).toBe("0 %");
});
