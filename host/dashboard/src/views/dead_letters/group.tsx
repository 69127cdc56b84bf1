import { useEffect } from "preact/hooks";
import useSWR from "swr";
import { Link, useLocation, useSearch } from "wouter-preact";
import { may } from "../../api/access";
import { useShownCall } from "../../api/calls";
import { call, urlOf, type ApiError, type Schemas } from "../../api/client";
import { REFRESH, logInIfRejected, usePages } from "../../api/use";
import { Action } from "../../components/action";
import { Badge, toneOf } from "../../components/badge";
import { confirmChange } from "../../components/confirm";
import { Copy } from "../../components/copy";
import { Empty, Facts, Page, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { groupPlanOf, readGroupOf, type Group } from "../../model/dead_letters";
import { eventPath } from "../../model/event_paths";
import { count, counted, short } from "../../model/format";
import { subscriptionPath } from "../../model/paths";
import { changed, type QueryValues } from "../../model/query";
import { confirmDrop, confirmRedrive } from "./changes";
import { LastRedrive } from "./last_redrive";

type Letter = Schemas["DeadLetterView"];

/** The group of a dead letter: what its members have in common, and the list of them. */
export function GroupPage({ sample, query }: { sample: number; query: QueryValues }) {
  useShownCall("GET /v1/dead-letters/groups");
  const search = useSearch();
  const { data: group, error } = useSWR<Group | null, ApiError>(["group", sample], () => readGroupOf(sample), {
    refreshInterval: REFRESH,
    onError: logInIfRejected,
  });
  useEffect(() => window.scrollTo(0, 0), [sample]);
  const list = changed(new URLSearchParams(search), { group: undefined });
  return (
    <Page
      title={`Dead letters like ${sample}`}
      context={<Link href={`/dead-letters${list.size > 0 ? `?${list}` : ""}`}>Dead letters</Link>}
      actions={group && <GroupActions group={group} leave={() => query.set({ group: undefined })} />}
    >
      {error !== undefined && <Problem error={error} />}
      {group === undefined && error === undefined && <p class="muted">Loading…</p>}
      {group === null && (
        <Empty title={`Dead letter ${sample} no longer exists.`}>
          It was redriven or dropped. Open its group from the list of dead letters.
        </Empty>
      )}
      <LastRedrive subscription={group?.subscription} />
      {group && (
        <>
          <GroupFacts group={group} />
          <Letters group={group} />
        </>
      )}
    </Page>
  );
}

function GroupFacts({ group }: { group: Group }) {
  const { subscription, cause, signature, digest, status, status_since, status_by } = group;
  return (
    <Section title="In common">
      <pre class="code" tabIndex={0} aria-label="Signature of the failure">
        {signature}
      </pre>
      <Facts
        rows={[
          ["Dead letters", count(group.count)],
          ["Status", <StatusText status={status} since={status_since} by={status_by} />],
          ["Subscription", <Link href={subscriptionPath(subscription)}>{subscription}</Link>],
          ["Cause", cause],
          [
            "Component",
            digest && (
              <>
                <code title={digest}>{short(digest)}</code> <Copy text={digest} />
              </>
            ),
          ],
          ["First", <Time at={group.first_at} />],
          ["Last", <Time at={group.last_at} />],
        ]}
      />
    </Section>
  );
}

function StatusText(props: { status: Group["status"]; since: string | null; by: string | null }) {
  return (
    <>
      <Badge tone={toneOf(props.status)}>{props.status}</Badge>
      {props.since !== null && (
        <>
          {" since "}
          <Time at={props.since} />
        </>
      )}
      {props.by !== null && `, by ${props.by}`}
    </>
  );
}

function GroupActions({ group, leave }: { group: Group; leave: () => void }) {
  const begin = async (confirm: (now: Group) => void) => {
    const now = await readGroupOf(group.sample);
    confirm(now ?? group);
  };
  const next = group.status === "open" ? (["resolved", "ignored"] as const) : (["open"] as const);
  return (
    <>
      {may("redrive_dead_letters") && (
        <Action look="primary" act={() => begin((now) => confirmRedrive(groupPlanOf(now)))}>
          Redrive
        </Action>
      )}
      {may("set_dead_letter_group_status") &&
        next.map((status) => (
          <Action key={status} act={() => begin((now) => confirmStatus(now, status))}>
            {STATUS_CHANGES[status].title}
          </Action>
        ))}
      {may("drop_dead_letters") && (
        <Action look="danger" act={() => begin((now) => confirmDrop(groupPlanOf(now), leave))}>
          Drop
        </Action>
      )}
    </>
  );
}

const STATUS_CHANGES: Record<Group["status"], { title: string; effect: string }> = {
  resolved: {
    title: "Resolve",
    effect: "leaves the list of open groups. It opens again when another delivery fails alike.",
  },
  ignored: { title: "Ignore", effect: "leaves the list of open groups." },
  open: { title: "Reopen", effect: "is in the list of open groups again." },
};

function confirmStatus(group: Group, status: Group["status"]): void {
  const { title, effect } = STATUS_CHANGES[status];
  const target = { params: { path: { sample: group.sample }, query: { subscription: group.subscription } } };
  confirmChange({
    title,
    effect: `The group of ${counted(group.count, "dead letter")} of ${group.subscription} ${effect} The dead letters stay.`,
    call: `PUT ${urlOf("/v1/dead-letters/groups/{sample}/status", target)} {"status":"${status}"}`,
    run: async () => {
      await call("put", "/v1/dead-letters/groups/{sample}/status", {
        ...target,
        body: { status },
      });
      return `The group is ${status}.`;
    },
  });
}

const COLUMNS: Column<Letter>[] = [
  {
    title: "Number",
    width: "5rem",
    cell: ({ number }) => <Link href={`/dead-letters/${number}`}>{number}</Link>,
  },
  { title: "Event type", width: "minmax(7rem, 1fr)", cell: ({ logged }) => logged.event.type },
  {
    title: "Event",
    width: "minmax(7rem, 1fr)",
    cell: ({ logged }) => (
      <Link href={eventPath(logged.event.id, logged.event.source)} title={logged.event.id}>
        {logged.event.id}
      </Link>
    ),
  },
  { title: "Subject", width: "minmax(5rem, 1fr)", isSecondary: true, cell: ({ logged }) => logged.event.subject ?? "" },
  { title: "Parks the key", width: "7rem", isSecondary: true, cell: ({ parks }) => parks ?? "" },
  { title: "Attempts", width: "5rem", isSecondary: true, isFigure: true, cell: ({ attempts }) => count(attempts) },
  {
    title: "Since",
    width: "12.75rem",
    isSecondary: true,
    cell: ({ dead_lettered_at }) => <Time at={dead_lettered_at} />,
  },
];

function Letters({ group }: { group: Group }) {
  const [, navigate] = useLocation();
  const letters = usePages(
    "/v1/dead-letters",
    { params: { query: { like: group.sample } } },
    (page) => page.dead_letters,
  );
  return (
    <Section title="Dead letters" actions={<Action look="quiet" act={letters.reload}>Read again</Action>}>
      {letters.error !== undefined && <Problem error={letters.error} />}
      <Table
        label="Dead letters of the group, oldest first"
        columns={COLUMNS}
        items={letters.items}
        keyOf={({ number }) => number}
        onEnd={letters.hasMore ? letters.readMore : undefined}
        empty={
          !letters.isLoading && (
            <Empty title="The group has no dead letters any more.">
              <button type="button" onClick={() => navigate("/dead-letters")}>
                Show all groups
              </button>
            </Empty>
          )
        }
      />
    </Section>
  );
}
