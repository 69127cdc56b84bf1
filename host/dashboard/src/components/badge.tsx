import type { ComponentChildren } from "preact";

/** What a badge means. The text says it too, because colours alone do not reach everybody. */
export type Tone = "good" | "warn" | "bad" | "info" | "plain";

/** A short status. */
export function Badge({ tone = "plain", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge badge-${tone}`}>{children}</span>;
}

/** The tone of the verdict, state or status that the API reports. */
export function toneOf(word: string): Tone {
  switch (word) {
    case "handled":
    case "running":
    case "active":
      return "good";
    case "retried":
    case "retrying":
    case "paused":
    case "drained":
    case "behind-key":
    case "rolled back":
    case "running an older file":
    case "dropped":
    case "ignored":
      return "warn";
    case "dead":
    case "dead-letter":
    case "parked":
    case "broken":
    case "failed":
      return "bad";
    case "in-flight":
    case "ready":
      return "info";
    default:
      return "plain";
  }
}
