/** Asks for consent to changes of dead letters, and makes them. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { confirmChange } from "../../components/confirm";
import { callsText, drop, execute, extentOf, progressText, redrive, type Plan } from "../../model/dead_letters";
import { counted } from "../../model/format";
import { recorded } from "../../model/redrives";

const done = signal<number | null>(null);

function Progress({ plan }: { plan: Plan }) {
  if (done.value === null || plan.calls.length < 2) {
    return null;
  }
  return (
    <p role="status">
      <progress max={plan.count} value={done.value} aria-label="Progress" /> {progressText(done.value, plan.count)}
    </p>
  );
}

async function tracked(plan: Plan, make: typeof redrive): Promise<number> {
  done.value = 0;
  try {
    return await execute(plan, make, (count) => (done.value = count));
  } finally {
    done.value = null;
  }
}

/** Asks whether to redrive, and redrives. */
export function confirmRedrive(plan: Plan, note?: ComponentChildren): void {
  confirmChange({
    title: "Redrive",
    effect: (
      <>
        <p>
          Redrives {extentOf(plan)}. Those with the same ordering key are delivered one at a time, in order.
        </p>
        {note}
        <Progress plan={plan} />
      </>
    ),
    call: callsText("POST", plan),
    run: async () => {
      const redriven = await recorded(plan.subscriptions, () => tracked(plan, redrive));
      return `Redriven: ${counted(redriven, "dead letter")}.`;
    },
  });
}

/** Asks whether to drop, and drops. `then` runs afterwards. */
export function confirmDrop(plan: Plan, then?: () => void): void {
  confirmChange({
    title: "Drop",
    effect: (
      <>
        <p>
          Deletes {extentOf(plan)}. They are never delivered. Events stay in the log as long as the retention rules keep
          them.
        </p>
        <Progress plan={plan} />
      </>
    ),
    call: callsText("DELETE", plan),
    isDestructive: true,
    run: async () => {
      const dropped = await tracked(plan, drop);
      then?.();
      return `Dropped: ${counted(dropped, "dead letter")}.`;
    },
  });
}
