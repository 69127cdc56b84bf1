/** Figures as text. */

const NUMBER = new Intl.NumberFormat("en");

/** A count with separators, such as `1,204`. */
export function count(value: number): string {
  return NUMBER.format(value);
}

/** A count with its noun, such as `1 event` or `1,204 events`. */
export function counted(value: number, noun: string, plural = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** A duration in microseconds, with at most three significant digits: `870 µs`, `12.4 ms`, `3.2 s`, `2 h 5 min`. */
export function micros(value: number): string {
  if (value < 1_000) {
    return `${Math.round(value)} µs`;
  }
  const millis = value / 1_000;
  if (millis < 999.5) {
    return `${digits(millis)} ms`;
  }
  return seconds(value / 1_000_000);
}

/** A duration in seconds: `3.2 s`, `5 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function seconds(value: number): string {
  if (value < 59.95) {
    return `${digits(value)} s`;
  }
  const whole = Math.round(value);
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => whole >= size);
  const parts: string[] = [];
  let left = whole;
  for (const [size, unit] of units.slice(first, first + 2)) {
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount > 0) {
      parts.push(`${amount} ${unit}`);
    }
  }
  return parts.join(" ");
}

/** A size in bytes: `512 B`, `1.5 KiB`, `20 MiB`. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1_024 && unit < units.length - 1) {
    scaled /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? scaled : digits(scaled)} ${units[unit]}`;
}

/** A share as a percentage, such as `0.4 %`. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? "0 %" : `${digits((100 * part) / whole)} %`;
}

/** The first digits of a digest or an id. */
export function short(text: string, length = 12): string {
  return text.replace(/^sha256:/, "").slice(0, length);
}

function digits(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
