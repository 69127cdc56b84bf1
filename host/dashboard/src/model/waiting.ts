/** Why deliveries and subscriptions wait. */

import type { Schemas } from "../api/client";
import { count } from "./format";
import { partsOf } from "./paths";
import { utc, withTimes } from "./time";

type Delivery = Schemas["DeliveryView"];
type Subscription = Schemas["SubscriptionView"];

/** The states of pending deliveries, as the API knows them. */
export const PENDING_STATES: readonly Schemas["PendingState"][] = [
  "not-reached",
  "ready",
  "in-flight",
  "retrying",
  "behind-key",
  "parked",
];

/** Why a delivery waits: its state first, then what blocks its subscription. */
export function reasonsOf(delivery: Delivery): string[] {
  const blocks = delivery.blocked_by.map(({ detail }) => withTimes(detail, utc.value));
  const own = ownReason(delivery);
  return own === null ? blocks : [own, ...blocks];
}

function ownReason(delivery: Delivery): string | null {
  const { state, ahead, attempts, behind, cause, dead_letter, key, reason, blocked_by } = delivery;
  switch (state) {
    case "not-reached":
      return ahead === null ? "earlier events come first" : `at most ${count(ahead)} earlier events come first`;
    case "ready":
      return blocked_by.length === 0 ? "a permit" : null;
    case "in-flight":
      return attempts === null ? "the running attempt" : `attempt ${attempts}, which runs`;
    case "retrying":
      return `attempt ${(attempts ?? 0) + 1}, after ${cause ?? "a failure"}: ${firstLine(reason ?? "")}`;
    case "behind-key":
      return `the event at position ${behind ?? "?"} with the same key`;
    case "parked":
      return `dead letter ${dead_letter ?? "?"}, which parks the key ${key ?? ""}`;
    default:
      return null;
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}

/** Why a subscription does not deliver; null if nothing stops it. */
export function blockOf({ waits_for, held_back_until }: Subscription): string | null {
  if (waits_for !== null) {
    return waits_for;
  }
  return held_back_until === null ? null : `its endpoint is on hold until ${held_back_until}`;
}

/** Which subscriptions a list shows. */
export interface SubscriptionFilter {
  text: string;
  show: "all" | "problems" | "paused" | "operator";
}

/** The choices of `SubscriptionFilter.show`. */
export const SHOWN: readonly SubscriptionFilter["show"][] = ["all", "problems", "paused", "operator"];

/** Whether a list shows a subscription. A problem is a stop, a dead letter or a parked key. */
export function isShown(subscription: Subscription, { text, show }: SubscriptionFilter): boolean {
  const words = `${subscription.id} ${subscription.pattern}`.toLowerCase();
  if (!words.includes(text.trim().toLowerCase())) {
    return false;
  }
  switch (show) {
    case "problems":
      return blockOf(subscription) !== null || subscription.dead_letters > 0 || subscription.parked_keys > 0;
    case "paused":
      return subscription.status === "paused";
    case "operator":
      return partsOf(subscription.id).owner === "operator";
    case "all":
      return true;
  }
}
