import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { useTagged } from "../../api/use";
import { Badge, toneOf } from "../../components/badge";
import { Copy } from "../../components/copy";
import { Empty, Facts, Page, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Time } from "../../components/time";
import { count, seconds } from "../../model/format";
import { partsOf } from "../../model/paths";
import { useQuery } from "../../model/query";
import { filterInWords, rulesInWords } from "../../model/rules";
import { utc, withTimes } from "../../model/time";
import { SubscriptionActions } from "./actions";
import { Deliveries } from "./deliveries";
import { SubscriptionForm } from "./form";
import { ParkedKeys } from "./parked_keys";
import { ReplayForm, Replays } from "./replays";
import "./subscriptions.css";

type View = Schemas["SubscriptionView"];

/** A subscription: its rules, what waits, and what can be done about it. */
export default function Subscription({ owner, name }: { owner: string; name: string }) {
  const tagged = useTagged("/v1/subscriptions/{owner}/{name}", { params: { path: { owner, name } } });
  const query = useQuery();
  const [, navigate] = useLocation();
  const [secret, setSecret] = useState<string | null>(null);
  const form = query.get("form");
  const close = () => query.set({ form: undefined });
  const { data, error } = tagged;
  const isGone = error?.status === 404;
  return (
    <Page
      title={`${owner}/${name}`}
      context={<Link href="/subscriptions">Subscriptions</Link>}
      actions={
        data !== undefined &&
        !isGone && (
          <SubscriptionActions
            subscription={data.data}
            open={(opened) => query.set({ form: opened })}
            setSecret={setSecret}
            deleted={() => navigate("/subscriptions")}
          />
        )
      }
    >
      {secret !== null && <Secret secret={secret} close={() => setSecret(null)} />}
      {isGone ? (
        <Empty title={`There is no subscription ${owner}/${name}.`}>
          <Link href="/subscriptions">Show all subscriptions</Link>
        </Empty>
      ) : (
        <Loaded of={{ data, error }}>
          {({ data: view, tag }) => (
            <>
              {form === "edit" && owner === "operator" && may("put_subscription") && (
                <SubscriptionForm existing={{ name, rules: view, tag }} close={close} saved={() => void tagged.mutate()} />
              )}
              {form === "replay" && may("start_replay") && <ReplayForm subscription={view} close={close} />}
              <Status view={view} />
              <Replays id={view.id} />
              <Deliveries id={view.id} />
              <ParkedKeys id={view.id} known={view.parked_keys} />
              <Rules view={view} />
            </>
          )}
        </Loaded>
      )}
    </Page>
  );
}

function Secret({ secret, close }: { secret: string; close: () => void }) {
  return (
    <Section title="New secret">
      <div class="card stack" role="status">
        <p>Give the receiver this secret now. The host does not show it again.</p>
        <code class="secret">{secret}</code>
        <div class="actions">
          <Copy text={secret} label="Copy the secret" />
          <button type="button" onClick={close}>
            Close
          </button>
        </div>
      </div>
    </Section>
  );
}

function Status({ view }: { view: View }) {
  const { id, status, waits_for, held_back_until, next_attempt, lag_seconds, dead_letters } = view;
  return (
    <Section title="Status">
      <Facts
        rows={[
          ["Status", <Badge tone={toneOf(status)}>{status}</Badge>],
          ["Does not deliver because", waits_for && withTimes(waits_for, utc.value)],
          ["Endpoint on hold until", held_back_until && <Time at={held_back_until} />],
          ["Backlog", count(view.backlog)],
          ["Lag", lag_seconds === null ? "none" : seconds(lag_seconds)],
          ["In flight", count(view.in_flight)],
          ["Committing", count(view.committing)],
          ["Next retry", next_attempt === null ? "none" : <Time at={next_attempt} />],
          [
            "Dead letters",
            dead_letters === 0 ? (
              "0"
            ) : (
              <Link href={`/dead-letters?status=all&subscription=${encodeURIComponent(id)}`}>{count(dead_letters)}</Link>
            ),
          ],
          ["Parked keys", count(view.parked_keys)],
          ["Cursor", count(view.cursor)],
          ["Deleted unhandled since the start", view.expired > 0 ? count(view.expired) : null],
        ]}
      />
    </Section>
  );
}

function Rules({ view }: { view: View }) {
  const { retry, target } = view;
  const webhook = "webhook" in target ? target : null;
  return (
    <Section title="Rules">
      <ul class="card words">
        {rulesInWords(view).map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      <Facts
        rows={[
          ["Pattern", <code>{view.pattern}</code>],
          ["Filters", view.filters.length === 0 ? "none" : view.filters.map(filterInWords).join(", and ")],
          ["Target plugin", "plugin" in target ? <PluginLink name={target.plugin} /> : null],
          ["Target webhook", webhook && <code>{webhook.webhook}</code>],
          ["Signed", webhook && (webhook.signed ? "yes" : "no")],
          ["Handshake", webhook && (webhook.handshake ? "yes" : "no")],
          [
            "Also signed with former secrets until",
            webhook?.former_secrets_until?.map((until) => (
              <div key={until}>
                <Time at={until} />
              </div>
            )),
          ],
          ["Ordering key", view.ordering_key === null ? "none" : <code>{view.ordering_key}</code>],
          ["Dead letter policy", view.dead_letter_policy],
          ["Concurrency", count(view.concurrency)],
          ["Timeout", view.timeout],
          ["Attempts", count(retry.max_attempts)],
          ["Initial delay", retry.initial_delay],
          ["Longest delay", retry.max_delay],
          ["Factor between delays", String(retry.backoff_multiplier)],
          ["Random share", String(retry.jitter)],
          ["Not retried", retry.non_retryable.length === 0 ? "none" : retry.non_retryable.join(", ")],
          ["Largest backlog", view.max_backlog === null ? "the default of the host" : count(view.max_backlog)],
          ["Origin", originText(view)],
        ]}
      />
    </Section>
  );
}

function PluginLink({ name }: { name: string }) {
  return <Link href={`/plugins/${encodeURIComponent(name)}`}>{name}</Link>;
}

function originText({ id, dynamic }: View): string {
  const { owner } = partsOf(id);
  if (owner === "operator") {
    return "created by an operator";
  }
  return dynamic ? `created by the plugin ${owner} at run time` : `declared by the plugin ${owner}`;
}
