/** What the live view keeps of the stream. */

import type { Message } from "../api/stream";

/** An attempt or a request that has ended, or records that are lost. */
export interface LiveRow {
  /** The number of the message, from 1. */
  number: number;
  message: Message;
}

/** Counts of messages since the view was opened. All messages count, also those that are not shown. */
export interface LiveCounts {
  attempts: number;
  requests: number;
  failures: number;
  /** The records that the host reports as lost. */
  lost: number;
  /** How often the host did not know how many records are lost. */
  unknownLosses: number;
}

/** What part of the messages is shown. */
export interface Sampling {
  /** The messages in the last second. */
  rate: number;
  /** One in this many successes is shown. */
  successes: number;
  /** One in this many failures is shown. */
  failures: number;
}

/** How many rows are kept. */
export const KEPT = 5_000;
/** How many successes, and how many failures, are shown per second. */
export const SHOWN_PER_SECOND = 250;

/**
 * The newest messages, and counts of all. Adding one takes the same short time at any rate.
 *
 * If more than `SHOWN_PER_SECOND` arrive, a sample is kept, because nobody can read them all, and what is kept
 * would span moments only. Failures are sampled separately, so that successes do not hide them.
 */
export class LiveBuffer {
  readonly counts: LiveCounts = { attempts: 0, requests: 0, failures: 0, lost: 0, unknownLosses: 0 };
  private readonly ring: LiveRow[] = [];
  private next = 0;
  private total = 0;
  private readonly successes = new Sampler();
  private readonly failures = new Sampler();

  /** Adds a message. `now` is a time in milliseconds that never goes back. */
  add(message: Message, now: number): void {
    this.total += 1;
    const isFailed = isFailure(message);
    this.count(message, isFailed);
    const isKept = message.kind === "lost" || (isFailed ? this.failures : this.successes).takes(now);
    if (isKept) {
      this.ring[this.next] = { number: this.total, message };
      this.next = (this.next + 1) % KEPT;
    }
  }

  /** A buffer with the kept rows of a cause tree, for what follows of it. */
  of(correlation: string): LiveBuffer {
    const tree = new LiveBuffer();
    for (const { message } of this.rows().reverse()) {
      if (message.kind !== "lost" && belongsTo(message, correlation)) {
        tree.total += 1;
        tree.count(message, isFailure(message));
        tree.ring[tree.next] = { number: tree.total, message };
        tree.next = (tree.next + 1) % KEPT;
      }
    }
    return tree;
  }

  /** How many messages there were. */
  get received(): number {
    return this.total;
  }

  /** The rows that are kept, newest first. */
  rows(): LiveRow[] {
    const { ring, next } = this;
    return [...ring.slice(0, next).reverse(), ...ring.slice(next).reverse()];
  }

  /** What part of the messages is kept now. */
  sampling(now: number): Sampling {
    return {
      rate: this.successes.rate(now) + this.failures.rate(now),
      successes: this.successes.step(now),
      failures: this.failures.step(now),
    };
  }

  private count(message: Message, isFailed: boolean): void {
    const { counts } = this;
    if (message.kind === "attempt") {
      counts.attempts += 1;
    } else if (message.kind === "request") {
      counts.requests += 1;
    } else if (typeof message.count === "number") {
      counts.lost += message.count;
    } else {
      counts.unknownLosses += 1;
    }
    counts.failures += isFailed ? 1 : 0;
  }
}

/** Takes all of a few, or a sample of many. It counts whole seconds. */
class Sampler {
  private second = -1;
  private current = 0;
  private previous = 0;
  private every = 1;
  private index = 0;

  takes(now: number): boolean {
    this.move(now);
    this.current += 1;
    // A burst is noticed within the second in which it begins.
    this.every = Math.max(this.every, Math.ceil(this.current / SHOWN_PER_SECOND));
    this.index += 1;
    return this.index % this.every === 0;
  }

  /** The number in the last whole second, or in the current one if that has more. */
  rate(now: number): number {
    this.move(now);
    return Math.max(this.previous, this.current);
  }

  step(now: number): number {
    this.move(now);
    return this.every;
  }

  private move(now: number): void {
    const second = Math.floor(now / 1_000);
    if (second !== this.second) {
      this.previous = second === this.second + 1 ? this.current : 0;
      this.second = second;
      this.current = 0;
      this.every = Math.max(1, Math.ceil(this.previous / SHOWN_PER_SECOND));
    }
  }
}

/** Whether a message is of a failed attempt, or of a request with a status from 500. */
export function isFailure(message: Message): boolean {
  return message.kind !== "lost" && message.cause !== null;
}

/** Whether a message belongs to a cause tree. Lost records may belong to any. */
export function belongsTo(message: Message, correlation: string): boolean {
  switch (message.kind) {
    case "attempt":
      return message.correlation === correlation;
    case "request":
      return message.correlations.includes(correlation);
    case "lost":
      return true;
  }
}

/** Whether a message has a text, in any case, in what the view shows of it. */
export function hasText(message: Message, text: string): boolean {
  const wanted = text.toLowerCase();
  return textOf(message).some((part) => part?.toLowerCase().includes(wanted));
}

function textOf(message: Message): (string | null)[] {
  switch (message.kind) {
    case "attempt":
      return [
        message.event_type,
        message.event,
        message.source,
        message.subscription,
        message.cause,
        message.reason,
        message.verdict,
        message.correlation,
      ];
    case "request":
      return [
        `${message.method} ${message.path}`,
        message.plugin,
        message.id,
        String(message.status),
        message.cause,
        message.reason,
        ...message.correlations,
      ];
    case "lost":
      return ["lost"];
  }
}

/** Says what part is shown; null if it is all. */
export function samplingText({ rate, successes, failures }: Sampling, count: (value: number) => string): string | null {
  if (successes === 1 && failures === 1) {
    return null;
  }
  if (successes > 1 && failures > 1) {
    return `Showing 1 in ${count(successes)} successes and 1 in ${count(failures)} failures of ${count(rate)}/s. The counts include all.`;
  }
  const [step, whole] = failures === 1 ? [successes, "failure"] : [failures, "success"];
  return `Showing 1 in ${count(step)} of ${count(rate)}/s; every ${whole} is shown. The counts include all.`;
}
