import { useState } from "preact/hooks";

/** A button that copies a text. */
export function Copy({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      setState("copied");
    } catch {
      // Browsers allow it on secure pages only.
      setState("failed");
    }
    setTimeout(() => setState("idle"), 2_000);
  };
  const labels = { idle: label, copied: "Copied", failed: "The browser refuses to copy" };
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      {labels[state]}
    </button>
  );
}
