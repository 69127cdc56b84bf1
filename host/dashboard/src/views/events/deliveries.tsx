import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { call, urlOf, type ApiError, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Badge, toneOf } from "../../components/badge";
import { confirmChange } from "../../components/confirm";
import { Empty, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Time } from "../../components/time";
import { isOpen, marksOf, remarksOf, stateOf } from "../../model/event_state";
import { count, counted } from "../../model/format";
import { subscriptionPath } from "../../model/paths";
import { timeText, utc, withTimes } from "../../model/time";

type TreeDelivery = Schemas["TreeDeliveryView"];
type Pending = Schemas["DeliveryView"];

interface Props {
  tree: { data: Schemas["CauseTreeView"] | undefined; error: ApiError | undefined };
  /** The event in its tree. */
  own: Schemas["TreeEventView"] | undefined;
  position: number;
}

/** Where the delivery to each subscription stands. */
export function Deliveries({ tree, own, position }: Props) {
  const pending = useGet("/v1/deliveries", { params: { query: { event: position, limit: 1_000 } } });
  return (
    <Section title="Deliveries">
      <Loaded of={tree}>
        {(data) => (
          <>
            {own?.deliveries.length === 0 && (
              <Empty title="No subscription matches this event.">
                <Link href="/subscriptions">Subscriptions</Link> lists the patterns.
              </Empty>
            )}
            <ul class="deliveries">
              {(own?.deliveries ?? []).map((delivery, index) => (
                <Delivery
                  key={`${delivery.subscription} ${index}`}
                  delivery={delivery}
                  pending={pending.data?.deliveries.find((other) => isSame(other, delivery))}
                  position={position}
                />
              ))}
            </ul>
            {remarksOf({ ...data, omitted: 0 }, (time) => timeText(time, utc.value)).map((remark) => (
              <p key={remark} class="muted">
                {remark}
              </p>
            ))}
          </>
        )}
      </Loaded>
    </Section>
  );
}

function isSame(pending: Pending, delivery: TreeDelivery): boolean {
  return isOpen(delivery) && pending.subscription === delivery.subscription && pending.replay === delivery.replayed;
}

function Delivery(props: { delivery: TreeDelivery; pending: Pending | undefined; position: number }) {
  const { delivery, pending, position } = props;
  const state = stateOf(delivery);
  const { dead_letter } = delivery;
  return (
    <li class="delivery">
      <div class="delivery-line">
        <Badge tone={toneOf(state)}>{state}</Badge>
        <Link href={subscriptionPath(delivery.subscription)}>{delivery.subscription}</Link>
        {marksOf(delivery).map((mark) => (
          <Badge key={mark}>{mark}</Badge>
        ))}
        {dead_letter !== null && <Link href={`/dead-letters/${dead_letter.number}`}>Dead letter {dead_letter.number}</Link>}
        {delivery.state === "retrying" && may("retry_deliveries") && (
          <button type="button" onClick={() => retry(delivery.subscription, position, pending)}>
            Retry now
          </button>
        )}
      </div>
      {pending !== undefined && <PendingFacts pending={pending} />}
      {delivery.waits_for.map((reason) => (
        <p key={reason.code + reason.detail}>
          {withTimes(reason.detail, utc.value)}
          {reason.until !== null && (
            <>
              , until <Time at={reason.until} />
            </>
          )}
        </p>
      ))}
      {state === "not-recorded" && (
        <p class="muted">It was handled, or its dead letter was dropped. The ledger has no record of it.</p>
      )}
      {dead_letter !== null && delivery.attempts.at(-1)?.verdict !== "dead" && (
        <pre class="code" tabIndex={0} aria-label="Reason">
          {`${dead_letter.cause}: ${dead_letter.reason}`}
        </pre>
      )}
    </li>
  );
}

function PendingFacts({ pending }: { pending: Pending }) {
  const facts = [
    pending.attempts === null
      ? null
      : pending.state === "in-flight"
        ? `attempt ${pending.attempts} is running`
        : counted(pending.attempts, "failed attempt"),
    pending.key === null ? null : `ordering key ${pending.key}`,
    pending.behind === null ? null : `behind the event at position ${count(pending.behind)}`,
    pending.ahead === null ? null : `at most ${counted(pending.ahead, "event")} ahead`,
  ].filter((fact) => fact !== null);
  return (
    <p class="muted">
      {facts.join(" · ")}
      {pending.due !== null && (
        <>
          {facts.length > 0 && " · "}next attempt at <Time at={pending.due} short />
        </>
      )}
    </p>
  );
}

function retry(subscription: string, position: number, pending: Pending | undefined): void {
  const init = { params: { query: { event: position, subscription } } };
  const due = pending?.due;
  confirmChange({
    title: "Retry now",
    effect: (
      <p>
        Retries the delivery to {subscription} now
        {due !== undefined && due !== null && (
          <>
            , instead of at <Time at={due} />
          </>
        )}
        . The attempt counts as usual.
      </p>
    ),
    call: `POST ${urlOf("/v1/deliveries/retry-now", init)}`,
    run: async () => {
      const { retried } = await call("post", "/v1/deliveries/retry-now", init);
      return `${counted(retried, "delivery", "deliveries")} due now.`;
    },
  });
}
