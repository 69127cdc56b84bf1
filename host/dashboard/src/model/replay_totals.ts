/** The sizes of the replays that this browser has started. The API tells them once, when a replay starts. */

const STORED = "sandbus.replays";

function stored(): Record<string, number> {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? "{}") as Record<string, number>;
  } catch {
    return {};
  }
}

/** Keeps the number of events of a replay until the tab is closed. */
export function keepTotal(id: string, replay: number, events: number): void {
  sessionStorage.setItem(STORED, JSON.stringify({ ...stored(), [`${id} ${replay}`]: events }));
}

/** The number of events of a replay; undefined if this browser has not started it. */
export function totalOf(id: string, replay: number): number | undefined {
  return stored()[`${id} ${replay}`];
}
