import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useReload } from "../api/use";
import { notify, notifyFailure } from "./notice";
import { focusTitleIfLost } from "./page";

/** A change that waits for the reader's consent. */
export interface Change {
  /** What the change is, such as `Redrive dead letters`. Also the label of the button. */
  title: string;
  /** What it does, with figures: `Redrives 1,204 dead letters of 3 subscriptions.` */
  effect: ComponentChildren;
  /** The API call, such as `POST /v1/dead-letters/redrive?all=true`. */
  call: string;
  /** Whether it destroys something. */
  isDestructive?: boolean;
  /** The label of the button that changes nothing, if `Cancel` could mean the change. */
  decline?: string;
  /** Makes the change. Returns what to tell the reader. */
  run: () => Promise<string>;
  /** Shows why the change failed. Without it, a notice does. */
  onFailure?: (error: unknown) => void;
}

const pending = signal<Change | null>(null);

/** Shows the effect of a change, and makes it if the reader agrees. */
export function confirmChange(change: Change): void {
  pending.value = change;
}

/** The dialog of `confirmChange`. The app has one. */
export function ConfirmDialog() {
  const change = pending.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const [isRunning, setRunning] = useState(false);
  const reload = useReload();
  useEffect(() => {
    if (change !== null && dialog.current?.open === false) {
      dialog.current.showModal();
    }
  }, [change]);
  const close = () => {
    dialog.current?.close();
  };
  const onCancel = (event: Event) => {
    if (isRunning) {
      event.preventDefault();
    }
  };
  const onClose = () => {
    pending.value = null;
    focusTitleIfLost();
  };
  const run = async () => {
    if (change === null) {
      return;
    }
    setRunning(true);
    try {
      notify(await change.run());
    } catch (error) {
      (change.onFailure ?? notifyFailure)(error);
    }
    setRunning(false);
    close();
    reload();
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="confirm-title" onCancel={onCancel} onClose={onClose}>
      {change !== null && (
        <>
          <h2 id="confirm-title">{change.title}</h2>
          <div class="dialog-effect">{change.effect}</div>
          <p class="muted">
            <code>{change.call}</code>
          </p>
          <div class="actions">
            <button type="button" onClick={close} disabled={isRunning}>
              {change.decline ?? "Cancel"}
            </button>
            <button
              type="button"
              class={change.isDestructive ? "danger" : "primary"}
              disabled={isRunning}
              onClick={() => void run()}
            >
              {isRunning ? "Working…" : change.title}
            </button>
          </div>
        </>
      )}
    </dialog>
  );
}
