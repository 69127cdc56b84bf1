/** Where the deliveries of events stand. */

import type { Schemas } from "../api/client";
import { partsOf } from "./paths";

type Delivery = Schemas["TreeDeliveryView"];

/** Whether a delivery will be attempted, as far as is known. */
export function isOpen(delivery: Delivery): boolean {
  return delivery.outcome === null && delivery.state !== "handled" && delivery.state !== "dead-letter";
}

/** The plugins that an event was delivered to, in order. Subscriptions of the operator belong to none. */
export function pluginsOf(deliveries: Pick<Delivery, "subscription">[]): string[] {
  const owners = new Set(deliveries.map(({ subscription }) => partsOf(subscription).owner));
  owners.delete("operator");
  return [...owners].sort();
}

/** Whether something in a tree is still going to happen. */
export function isTreeOpen(tree: Schemas["CauseTreeView"]): boolean {
  return tree.delayed.length > 0 || tree.events.some(({ deliveries }) => deliveries.some(isOpen));
}

/** The outcome of a delivery, or else its state, in one word of the API. */
export function stateOf(delivery: Delivery): string {
  return delivery.outcome ?? delivery.state ?? "unknown";
}

/** What is special about a delivery or an attempt. */
export function marksOf(delivery: { replayed: boolean; redriven_at: string | null; edited: boolean }): string[] {
  return [
    ...(delivery.replayed ? ["replay"] : []),
    ...(delivery.redriven_at === null ? [] : ["redriven"]),
    ...(delivery.edited ? ["edited data"] : []),
  ];
}

/** What the ledger lacks, each part in words. */
export function remarksOf(tree: Schemas["CauseTreeView"], timeText: (time: string) => string): string[] {
  const gaps = tree.gaps.map(({ from, until, lost, reason }) => {
    const between = `from ${timeText(from)} to ${timeText(until)}: ${reason}`;
    return lost === null ? `The ledger may lack records ${between}` : `The ledger lost ${lost} records ${between}`;
  });
  return [
    ...(tree.omitted === 0 ? [] : [omittedText(tree)]),
    ...(tree.attempts_omitted ? ["The oldest attempts are omitted."] : []),
    ...gaps,
    ...(tree.ledger_error === null ? [] : [`The ledger: ${tree.ledger_error}`]),
  ];
}

function omittedText({ events, omitted, partly_read }: Schemas["CauseTreeView"]): string {
  return `${events.length} of ${events.length + omitted}${partly_read ? " or more" : ""} events are shown.`;
}
