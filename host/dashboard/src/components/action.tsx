import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { notifyFailure } from "./notice";

interface Props {
  /** What the button does. While it works, it cannot be pressed again. */
  act: () => Promise<void> | void;
  /** The look: `primary`, `danger` or `quiet`. */
  look?: "primary" | "danger" | "quiet";
  /** The name for screen readers, if the text alone does not say what the button acts on. */
  label?: string;
  children: ComponentChildren;
}

/** A button whose work takes a moment, such as reading the figures of a change before the reader confirms it. */
export function Action({ act, look, label, children }: Props) {
  const [isWorking, setWorking] = useState(false);
  const work = async () => {
    if (isWorking) {
      return;
    }
    setWorking(true);
    try {
      await act();
    } catch (error) {
      notifyFailure(error);
    }
    setWorking(false);
  };
  return (
    // A disabled button would lose the focus, and a dialog could not return it.
    <button type="button" class={look} aria-label={label} aria-disabled={isWorking} onClick={() => void work()}>
      {children}
    </button>
  );
}
