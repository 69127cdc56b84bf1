/** Cron expressions in words, and times in the zone of a schedule. */

/** Turns a cron expression into words; null if it cannot. */
export type InWords = (expression: string) => string | null;

/** Loads the library that knows the words. */
export async function loadWords(): Promise<InWords> {
  const { default: cronstrue } = await import("cronstrue");
  return (expression) => {
    try {
      return cronstrue.toString(expression, { use24HourTimeFormat: true, verbose: false });
    } catch {
      return null;
    }
  };
}

/** A time in a zone, to the second, such as `2026-11-28 09:00:00`. A zone that the browser does not know gives null. */
export function timeInZone(timestamp: string, zone: string): string | null {
  try {
    const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
    return format.format(new Date(timestamp));
  } catch {
    return null;
  }
}

/** How far a zone is from UTC at a time, such as `+02:00`. A zone that the browser does not know gives null. */
export function offsetInZone(timestamp: string, zone: string): string | null {
  try {
    const format = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
    const name = format.formatToParts(new Date(timestamp)).find(({ type }) => type === "timeZoneName")?.value ?? "";
    return name === "GMT" ? "+00:00" : name.replace("GMT", "");
  } catch {
    return null;
  }
}
