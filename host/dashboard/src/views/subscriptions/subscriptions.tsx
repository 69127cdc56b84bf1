import { useEffect } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { REFRESH, usePages } from "../../api/use";
import { Badge, toneOf } from "../../components/badge";
import { Empty, Page, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { count, counted, seconds } from "../../model/format";
import { subscriptionPath } from "../../model/paths";
import { useQuery, type QueryValues } from "../../model/query";
import { SHOWN, isShown, blockOf, type SubscriptionFilter } from "../../model/waiting";
import { utc, withTimes } from "../../model/time";
import { SubscriptionForm } from "./form";

type Subscription = Schemas["SubscriptionView"];

const COLUMNS: Column<Subscription>[] = [
  {
    title: "Subscription",
    width: "minmax(9rem, 2fr)",
    cell: ({ id, replay }) => (
      <>
        <Link href={subscriptionPath(id)} title={id}>
          {id}
        </Link>
        {replay !== null && <span class="muted"> replay {replay.number}</span>}
      </>
    ),
  },
  {
    title: "Pattern",
    width: "minmax(6rem, 1fr)",
    isSecondary: true,
    cell: ({ pattern }) => <code title={pattern}>{pattern}</code>,
  },
  { title: "Status", width: "5rem", cell: ({ status }) => <Badge tone={toneOf(status)}>{status}</Badge> },
  { title: "Backlog", width: "4.5rem", isFigure: true, cell: ({ backlog }) => count(backlog) },
  {
    title: "Lag",
    width: "5.5rem",
    isFigure: true,
    isSecondary: true,
    cell: ({ lag_seconds }) => (lag_seconds === null ? "–" : seconds(lag_seconds)),
  },
  { title: "In flight", width: "4rem", isFigure: true, isSecondary: true, cell: ({ in_flight }) => count(in_flight) },
  {
    title: "Dead letters",
    width: "6.5rem",
    isFigure: true,
    isSecondary: true,
    cell: ({ id, dead_letters }) =>
      dead_letters === 0 ? (
        "0"
      ) : (
        <Link href={`/dead-letters?status=all&subscription=${encodeURIComponent(id)}`}>{count(dead_letters)}</Link>
      ),
  },
  {
    title: "Parked keys",
    width: "6rem",
    isFigure: true,
    isSecondary: true,
    cell: ({ parked_keys }) => count(parked_keys),
  },
  {
    title: "Reason",
    width: "minmax(8rem, 2fr)",
    isSecondary: true,
    cell: (subscription) => {
      const block = withTimes(blockOf(subscription) ?? "", utc.value);
      return <span title={block}>{block}</span>;
    },
  },
];

/** The subscriptions and their running replays. */
export default function Subscriptions() {
  const query = useQuery();
  const [, navigate] = useLocation();
  const filter: SubscriptionFilter = {
    text: query.get("q") ?? "",
    show: SHOWN.find((show) => show === query.get("show")) ?? "all",
  };
  const list = usePages(
    "/v1/subscriptions",
    { params: { query: {} } },
    (page) => page.subscriptions,
    { refresh: REFRESH },
  );
  const shown = list.items.filter((subscription) => isShown(subscription, filter));
  useEffect(() => {
    // An empty table does not ask for the next page.
    if (shown.length === 0 && list.hasMore) {
      list.readMore();
    }
  }, [shown.length, list.hasMore, list.pagesRead]);
  const isCreating = query.get("form") === "create" && may("put_subscription");
  return (
    <Page
      title="Subscriptions"
      actions={
        may("put_subscription") &&
        !isCreating && (
          <button type="button" onClick={() => query.set({ form: "create" })}>
            Create subscription
          </button>
        )
      }
    >
      {isCreating && (
        <SubscriptionForm
          close={() => query.set({ form: undefined })}
          saved={(id) => navigate(subscriptionPath(id))}
        />
      )}
      <Filters query={query} filter={filter} />
      <Section title={list.isLoading ? "Subscriptions and replays" : extentText(shown, list.items, list.hasMore)}>
        {list.error !== undefined && <Problem error={list.error} />}
        {list.isLoading && <p class="muted">Loading…</p>}
        {!list.isLoading && (
          <Table
            label="Subscriptions and their replays"
            columns={COLUMNS}
            items={shown}
            keyOf={({ id, replay }) => `${id} ${replay?.number ?? ""}`}
            toneOf={(subscription) => (blockOf(subscription) !== null ? "warn" : undefined)}
            onEnd={list.hasMore ? list.readMore : undefined}
            empty={<NoSubscriptions hasAny={list.items.length > 0} />}
          />
        )}
      </Section>
    </Page>
  );
}

function extentText(shown: Subscription[], all: Subscription[], hasMore: boolean): string {
  const replays = shown.filter(({ replay }) => replay !== null).length;
  const text = counted(shown.length - replays, "subscription") + (replays > 0 ? `, ${counted(replays, "replay")}` : "");
  return hasMore ? `${text}, of the first ${count(all.length)}` : text;
}

function NoSubscriptions({ hasAny }: { hasAny: boolean }) {
  return hasAny ? (
    <Empty title="No subscription matches the filters.">Change the filters to see others.</Empty>
  ) : (
    <Empty title="No subscriptions yet.">
      A plugin that handles events brings its subscriptions. <Link href="/plugins">Add a plugin</Link>
      {may("put_subscription") && ", or create a subscription that delivers to a webhook"}.
    </Empty>
  );
}

function Filters({ query, filter }: { query: QueryValues; filter: SubscriptionFilter }) {
  return (
    <form class="fields" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      <div class="field">
        <label for="subscription-text">Name or pattern</label>
        <input
          id="subscription-text"
          type="search"
          value={filter.text}
          onInput={(event) => query.set({ q: event.currentTarget.value })}
        />
      </div>
      <div class="field">
        <label for="subscription-show">Show</label>
        <select
          id="subscription-show"
          value={filter.show}
          onChange={({ currentTarget: { value } }) => query.set({ show: value === "all" ? undefined : value })}
        >
          {SHOWN.map((show) => (
            <option key={show}>{show}</option>
          ))}
        </select>
      </div>
    </form>
  );
}
