import { Link } from "wouter-preact";
import type { Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { draftAttributes, type Draft } from "../../model/draft";
import { receiversOf, type Receivers as Receiving } from "../../model/event_filter";
import { counted } from "../../model/format";
import { subscriptionPath } from "../../model/paths";

/** The subscriptions that would get an event; null if they are not known. */
export function useReceivers(draft: Draft): Receiving | null {
  const subscriptions = useGet("/v1/subscriptions", {}, { refresh: 10_000 });
  const data = subscriptions.data;
  if (data === undefined || data.next !== null) {
    return null;
  }
  return receiversOf(data.subscriptions, draftAttributes(draft));
}

/** What publishing does, in words. */
export function effectOf(receivers: Receiving | null, draft: Draft): string {
  const when = draft.when === "now" ? "" : draft.when === "delay" ? ` after ${draft.delay}` : ` at ${draft.at}`;
  const event = `Publishes 1 event of the type ${draft.type}${when}. `;
  if (receivers === null) {
    return `${event}It is delivered to every subscription whose pattern and filters match.`;
  }
  const { certain, possible } = receivers;
  if (certain.length + possible.length === 0) {
    return `${event}No subscription matches it, so it is only stored.`;
  }
  const names = [...certain.map(nameOf), ...possible.map((one) => `${nameOf(one)} (if its filters match)`)];
  return `${event}It is delivered to ${counted(names.length, "subscription")}: ${names.join(", ")}.`;
}

function nameOf({ id, status }: Schemas["SubscriptionView"]): string {
  return status === "paused" ? `${id} (paused)` : id;
}

/** The subscriptions that would get the event, while it is written. */
export function Receivers({ receivers, draft }: { receivers: Receiving | null; draft: Draft }) {
  if (draft.type === "") {
    return null;
  }
  if (receivers === null) {
    return <p class="muted">The event is delivered to every subscription whose pattern and filters match.</p>;
  }
  const all = [...receivers.certain, ...receivers.possible];
  return (
    <div class="card">
      <p>
        {all.length === 0
          ? "No subscription matches this event. It is only stored."
          : `Delivered to ${counted(all.length, "subscription")}:`}
      </p>
      <ul class="publish-receivers">
        {all.map((subscription) => (
          <li key={subscription.id}>
            <Link href={subscriptionPath(subscription.id)}>{subscription.id}</Link>
            <span class="muted">
              {subscription.status === "paused" && " paused"}
              {receivers.possible.includes(subscription) && " if its filters match what the host sets"}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
