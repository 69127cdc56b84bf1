import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { call, urlOf, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { confirmChange } from "../../components/confirm";
import { Choice } from "../../components/fields";
import { Empty, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { attributesOf, receiversOf } from "../../model/event_filter";
import { count, counted } from "../../model/format";
import { partsOf } from "../../model/paths";

type Subscription = Schemas["SubscriptionView"];

/** Delivers an event to one subscription again. */
export function Replay({ logged }: { logged: Schemas["EventView"] }) {
  const subscriptions = useGet("/v1/subscriptions", {}, { refresh: 0 });
  return (
    <Section title="Replay to one subscription">
      <Loaded of={subscriptions}>
        {({ subscriptions: all }) => {
          const { certain, possible } = receiversOf(all, attributesOf(logged.event));
          const receivers = [...certain, ...possible];
          if (receivers.length === 0) {
            return (
              <Empty title="No subscription matches this event, so there is nothing to replay to.">
                <Link href="/subscriptions">Subscriptions</Link> lists the patterns.
              </Empty>
            );
          }
          return <Form logged={logged} receivers={receivers} />;
        }}
      </Loaded>
    </Section>
  );
}

function Form({ logged, receivers }: { logged: Schemas["EventView"]; receivers: Subscription[] }) {
  const [chosen, setChosen] = useState(receivers[0]?.id ?? "");
  const subscription = receivers.find((receiver) => receiver.id === chosen) ?? receivers[0];
  return (
    <form
      class="form-line"
      onSubmit={(event) => {
        event.preventDefault();
        if (subscription !== undefined) {
          replay(logged, subscription);
        }
      }}
    >
      <Choice
        label="Subscription"
        value={subscription?.id ?? ""}
        choices={receivers.map((receiver) => receiver.id)}
        set={setChosen}
      />
      <button type="submit">Replay</button>
    </form>
  );
}

function replay({ event, position }: Schemas["EventView"], subscription: Subscription): void {
  const path = partsOf(subscription.id);
  const body = { start: { position }, until: { position } };
  confirmChange({
    title: "Replay",
    effect: (
      <>
        <p>
          Delivers 1 event, {event.type} at position {count(position)}, to {subscription.id} again. All effects of the
          handler take place again.
        </p>
        {position > subscription.cursor && (
          <p>The cursor of the subscription is at {count(subscription.cursor)}, so it may not have reached the event yet.</p>
        )}
        {subscription.status === "paused" && <p>The subscription is paused. The event waits until it is resumed.</p>}
      </>
    ),
    call: `POST ${urlOf("/v1/subscriptions/{owner}/{name}/replay", { params: { path } })} ${JSON.stringify(body)}`,
    run: async () => {
      const result = await call("post", "/v1/subscriptions/{owner}/{name}/replay", { params: { path }, body });
      return result.replay === null
        ? "Nothing to replay: the subscription does not select the event, or has not reached it."
        : `Replay ${result.replay} delivers ${counted(result.events, "event")} to ${subscription.id}.`;
    },
  });
}
