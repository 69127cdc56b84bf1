import { signal } from "@preact/signals";
import { ApiError } from "../api/client";

interface Message {
  text: string;
  failed: boolean;
}

const message = signal<Message | null>(null);

/** Tells the reader the result of a change. */
export function notify(text: string): void {
  message.value = { text, failed: false };
}

/** Tells the reader why a change failed. */
export function notifyFailure(error: unknown): void {
  const text = error instanceof ApiError ? `${error.message} (${error.code})` : String(error);
  message.value = { text, failed: true };
}

/** The last message, until the reader closes it. */
export function Notice() {
  const current = message.value;
  return (
    <div class="notice-area" aria-live="polite" role="status">
      {current !== null && (
        <div class={current.failed ? "notice notice-bad" : "notice"}>
          <span>{current.text}</span>
          <button type="button" class="quiet" onClick={() => (message.value = null)}>
            Close
          </button>
        </div>
      )}
    </div>
  );
}
