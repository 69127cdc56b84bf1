import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { REFRESH, usePages } from "../../api/use";
import { Action } from "../../components/action";
import { Badge, toneOf } from "../../components/badge";
import { confirmChange } from "../../components/confirm";
import { Empty, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { eventPath } from "../../model/event_paths";
import { count } from "../../model/format";
import { useQuery } from "../../model/query";
import { PENDING_STATES, reasonsOf } from "../../model/waiting";

type Delivery = Schemas["DeliveryView"];

/** The pending deliveries of a subscription, and why each waits. */
export function Deliveries({ id }: { id: string }) {
  const query = useQuery();
  const state = PENDING_STATES.find((known) => known === query.get("state"));
  // While the reader scrolls through further pages, the list stands still.
  const [isPaging, setPaging] = useState(false);
  const deliveries = usePages(
    "/v1/deliveries",
    { params: { query: { subscription: id, state } } },
    (page) => page.deliveries,
    { refresh: isPaging ? 0 : REFRESH },
  );
  const readMore = () => {
    setPaging(true);
    deliveries.readMore();
  };
  return (
    <Section title="Pending deliveries" actions={<StateChoice state={state} isPaging={isPaging} reload={deliveries.reload} />}>
      {deliveries.error !== undefined && <Problem error={deliveries.error} />}
      {deliveries.isLoading && <p class="muted">Loading…</p>}
      {!deliveries.isLoading && deliveries.error === undefined && (
        <Table
          label="Pending deliveries, in the order of the log"
          columns={columns()}
          items={deliveries.items}
          keyOf={({ logged, replay }) => `${logged.position} ${replay}`}
          toneOf={({ state: of }) => (of === "parked" ? "bad" : of === "retrying" ? "warn" : undefined)}
          onEnd={deliveries.hasMore ? readMore : undefined}
          empty={
            <Empty title={state === undefined ? "Nothing waits." : `No delivery is ${state}.`}>
              {state === undefined
                ? "Each event that matches is handled, or is a dead letter."
                : "Choose another state to see others."}
            </Empty>
          }
        />
      )}
    </Section>
  );
}

function StateChoice(props: { state: string | undefined; isPaging: boolean; reload: () => void }) {
  const query = useQuery();
  return (
    <>
      {props.isPaging && (
        <button type="button" class="quiet" onClick={props.reload}>
          Read again
        </button>
      )}
      <label for="delivery-state">State</label>
      <select
        id="delivery-state"
        value={props.state ?? ""}
        onChange={(event) => query.set({ state: event.currentTarget.value })}
      >
        <option value="">all</option>
        {PENDING_STATES.map((state) => (
          <option key={state}>{state}</option>
        ))}
      </select>
    </>
  );
}

function columns(): Column<Delivery>[] {
  const shown: Column<Delivery>[] = [
    {
      title: "Position",
      width: "5.5rem",
      isFigure: true,
      isSecondary: true,
      cell: ({ logged }) => count(logged.position),
    },
    {
      title: "Event",
      width: "minmax(7rem, 1fr)",
      cell: ({ logged, replay }) => (
        <>
          <Link href={eventPath(logged.event.id, logged.event.source)} title={logged.event.id}>
            {logged.event.type}
          </Link>
          {replay && <span class="muted"> replay</span>}
        </>
      ),
    },
    { title: "State", width: "6.5rem", cell: ({ state }) => <Badge tone={toneOf(state)}>{state}</Badge> },
    { title: "Waits for", width: "minmax(7rem, 2.5fr)", cell: (delivery) => <Reasons delivery={delivery} /> },
    { title: "Key", width: "7rem", isSecondary: true, cell: ({ key }) => key ?? "" },
    { title: "Due", width: "7.5rem", isSecondary: true, cell: ({ due }) => due !== null && <Time at={due} short /> },
  ];
  if (may("retry_deliveries")) {
    shown.push({
      title: "Action",
      width: "6rem",
      isSecondary: true,
      cell: (delivery) =>
        delivery.state === "retrying" && (
          <Action
            look="quiet"
            act={() => confirmRetry(delivery)}
            label={`Retry the event at position ${delivery.logged.position} now`}
          >
            Retry now
          </Action>
        ),
    });
  }
  return shown;
}

function Reasons({ delivery }: { delivery: Delivery }) {
  const text = reasonsOf(delivery).join("; ");
  return delivery.state === "parked" && delivery.dead_letter !== null ? (
    <Link href={`/dead-letters/${delivery.dead_letter}`} title={text}>
      {text}
    </Link>
  ) : (
    <span title={text}>{text}</span>
  );
}

function confirmRetry({ subscription, logged, attempts }: Delivery): void {
  const query = { subscription, event: logged.position };
  confirmChange({
    title: "Retry now",
    effect: `Retries 1 delivery of ${subscription} now: attempt ${(attempts ?? 0) + 1} of the event at position ${count(logged.position)}.`,
    call: `POST /v1/deliveries/retry-now?subscription=${encodeURIComponent(subscription)}&event=${logged.position}`,
    run: async () => {
      const { retried } = await call("post", "/v1/deliveries/retry-now", { params: { query } });
      return retried === 0 ? "The delivery no longer waits for a retry." : "The delivery is due now.";
    },
  });
}
