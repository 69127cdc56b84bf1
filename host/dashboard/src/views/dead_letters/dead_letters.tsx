import { Link, useSearch } from "wouter-preact";
import { may } from "../../api/access";
import { useGet, usePages } from "../../api/use";
import { Action } from "../../components/action";
import { Badge, toneOf } from "../../components/badge";
import { notify } from "../../components/notice";
import { Empty, Page, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import {
  CAUSES,
  STATUSES,
  filterOf,
  groupPlanOf,
  groupQueryOf,
  planOf,
  readGroupOf,
  readGroups,
  type Group,
  type GroupFilter,
  type Plan,
} from "../../model/dead_letters";
import { count } from "../../model/format";
import { subscriptionPath } from "../../model/paths";
import { changed, useQuery, type QueryValues } from "../../model/query";
import { confirmDrop, confirmRedrive } from "./changes";
import { GroupPage } from "./group";
import { LastRedrive } from "./last_redrive";

/** Dead letters that failed alike. */
export default function DeadLetters() {
  const query = useQuery();
  const sample = Number(query.get("group"));
  return sample > 0 ? <GroupPage sample={sample} query={query} /> : <Groups query={query} />;
}

function Groups({ query }: { query: QueryValues }) {
  const search = useSearch();
  const filter = filterOf(query.get);
  const groups = usePages(
    "/v1/dead-letters/groups",
    { params: { query: groupQueryOf(filter) } },
    (page) => page.groups,
  );
  return (
    <Page title="Dead letters" actions={groups.items.length > 0 && <BulkActions filter={filter} />}>
      <Filters query={query} filter={filter} />
      <LastRedrive />
      <Section
        title="Groups"
        actions={
          <button type="button" class="quiet" onClick={groups.reload}>
            Read again
          </button>
        }
      >
        {groups.error !== undefined && <Problem error={groups.error} />}
        {groups.isLoading && <p class="muted">Loading…</p>}
        {!groups.isLoading && groups.error === undefined && (
          <Table
            label="Groups of dead letters"
            columns={columnsOf(search)}
            items={groups.items}
            keyOf={(group) => `${group.subscription} ${group.cause} ${group.digest} ${group.signature}`}
            onEnd={groups.hasMore ? groups.readMore : undefined}
            empty={<NoGroups filter={filter} />}
          />
        )}
      </Section>
    </Page>
  );
}

function BulkActions({ filter }: { filter: GroupFilter }) {
  const begin = async (confirm: (plan: Plan) => void) => {
    const plan = planOf(await readGroups(filter), filter);
    if (plan.count === 0) {
      notify("No dead letters match any more.");
    } else {
      confirm(plan);
    }
  };
  const isFiltered = filter.subscription !== undefined || filter.cause !== undefined || filter.status !== "all";
  const which = isFiltered ? "all matching" : "all";
  return (
    <>
      {may("redrive_dead_letters") && (
        <Action act={() => begin((plan) => confirmRedrive(plan))} look="primary">
          Redrive {which}
        </Action>
      )}
      {may("drop_dead_letters") && (
        <Action act={() => begin((plan) => confirmDrop(plan))} look="danger">
          Drop {which}
        </Action>
      )}
    </>
  );
}

function columnsOf(search: string): Column<Group>[] {
  const columns: Column<Group>[] = [
    {
      title: "Failure",
      width: "minmax(8rem, 3fr)",
      cell: ({ sample, signature }) => (
        <Link href={`/dead-letters?${changed(new URLSearchParams(search), { group: String(sample) })}`} title={signature}>
          {signature === "" ? "(no reason)" : signature}
        </Link>
      ),
    },
    {
      title: "Subscription",
      width: "minmax(8rem, 1.2fr)",
      isSecondary: true,
      cell: ({ subscription }) => <Link href={subscriptionPath(subscription)}>{subscription}</Link>,
    },
    { title: "Cause", width: "6rem", cell: ({ cause }) => cause },
    { title: "Count", width: "4rem", isFigure: true, cell: (group) => count(group.count) },
    { title: "First", width: "7.5rem", isSecondary: true, cell: ({ first_at }) => <Time at={first_at} short /> },
    { title: "Last", width: "7.5rem", isSecondary: true, cell: ({ last_at }) => <Time at={last_at} short /> },
    {
      title: "Status",
      width: "5.5rem",
      isSecondary: true,
      cell: ({ status }) => <Badge tone={toneOf(status)}>{status}</Badge>,
    },
  ];
  if (may("redrive_dead_letters")) {
    columns.push({ title: "Action", width: "5rem", isSecondary: true, cell: (group) => <RedriveGroup group={group} /> });
  }
  return columns;
}

function RedriveGroup({ group }: { group: Group }) {
  const begin = async () => {
    const now = await readGroupOf(group.sample);
    if (now === null) {
      notify("The group has changed. Read the list again.");
    } else {
      confirmRedrive(groupPlanOf(now));
    }
  };
  return (
    <Action act={begin} look="quiet" label={`Redrive the group ${group.signature} of ${group.subscription}`}>
      Redrive
    </Action>
  );
}

function NoGroups({ filter }: { filter: GroupFilter }) {
  if (filter.subscription !== undefined || filter.cause !== undefined) {
    return <Empty title="No dead letters match the filters.">Change the filters to see others.</Empty>;
  }
  if (filter.status === "resolved" || filter.status === "ignored") {
    return <Empty title={`No group is ${filter.status}.`}>Open a group to change its status.</Empty>;
  }
  return (
    <Empty title={filter.status === "open" ? "No open dead letters." : "No dead letters."}>
      A delivery becomes a dead letter when it has failed as often as its retry policy allows.{" "}
      <Link href="/live">Watch attempts live</Link>, or <Link href="/subscriptions">see what subscriptions wait for</Link>
      .
    </Empty>
  );
}

function Filters({ query, filter }: { query: QueryValues; filter: GroupFilter }) {
  const subscriptions = useGet("/v1/subscriptions", undefined, { refresh: 0 });
  const known = new Set(subscriptions.data?.subscriptions.map(({ id }) => id));
  if (filter.subscription !== undefined) {
    known.add(filter.subscription);
  }
  return (
    <form class="fields" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      <Choice
        name="Subscription"
        value={filter.subscription}
        choices={[...known]}
        choose={(subscription) => query.set({ subscription })}
      />
      <Choice name="Cause" value={filter.cause} choices={CAUSES} choose={(cause) => query.set({ cause })} />
      <div class="field">
        <label for="status">Status</label>
        <select
          id="status"
          value={filter.status}
          onChange={({ currentTarget: { value } }) => query.set({ status: value === "open" ? undefined : value })}
        >
          {STATUSES.map((status) => (
            <option key={status}>{status}</option>
          ))}
        </select>
      </div>
    </form>
  );
}

function Choice(props: {
  name: string;
  value: string | undefined;
  choices: readonly string[];
  choose: (value: string) => void;
}) {
  const id = props.name.toLowerCase();
  return (
    <div class="field">
      <label for={id}>{props.name}</label>
      <select id={id} value={props.value ?? ""} onChange={(event) => props.choose(event.currentTarget.value)}>
        <option value="">all</option>
        {props.choices.map((choice) => (
          <option key={choice}>{choice}</option>
        ))}
      </select>
    </div>
  );
}
