import { may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Action } from "../../components/action";
import { confirmChange } from "../../components/confirm";
import { notify } from "../../components/notice";
import { count, counted } from "../../model/format";
import { partsOf, subscriptionPath } from "../../model/paths";
import { countRetrying, type CountedDeliveries } from "./retrying";

type View = Schemas["SubscriptionView"];

interface Props {
  subscription: View;
  /** Opens a form. */
  open: (form: "edit" | "replay") => void;
  setSecret: (secret: string) => void;
  deleted: () => void;
}

/** What can be done about a subscription. */
export function SubscriptionActions({ subscription, open, setSecret, deleted }: Props) {
  const { id, resumable, target } = subscription;
  const isOperators = partsOf(id).owner === "operator";
  return (
    <>
      {!resumable && may("pause_subscription") && (
        <Action act={() => confirmPause(subscription)}>Pause</Action>
      )}
      {resumable && may("resume_subscription") && (
        <Action look="primary" act={() => confirmResume(subscription)}>
          Resume
        </Action>
      )}
      {may("retry_deliveries") && <Action act={() => confirmRetryAll(id)}>Retry now</Action>}
      {may("start_replay") && (
        <button type="button" onClick={() => open("replay")}>
          Replay
        </button>
      )}
      {isOperators && may("put_subscription") && (
        <button type="button" onClick={() => open("edit")}>
          Change
        </button>
      )}
      {isOperators && "webhook" in target && may("rotate_secret") && (
        <Action act={() => confirmRotation(subscription, setSecret)}>Rotate secret</Action>
      )}
      {may("delete_subscription") && <Delete subscription={subscription} deleted={deleted} />}
    </>
  );
}

/** A subscription that a loaded plugin declares cannot be deleted. */
function Delete({ subscription, deleted }: { subscription: View; deleted: () => void }) {
  const { id, dynamic } = subscription;
  const { owner, name } = partsOf(id);
  const plugin = useGet(
    dynamic ? null : "/v1/plugins/{name}",
    { params: { path: { name: owner } } },
    { refresh: 0 },
  );
  const isOrphan = plugin.error?.status === 404 || plugin.data?.subscriptions.every((declared) => declared.name !== name);
  if (!dynamic && isOrphan !== true) {
    return null;
  }
  return (
    <Action look="danger" act={() => confirmDelete(subscription, deleted)}>
      Delete
    </Action>
  );
}

function path(id: string) {
  return { params: { path: partsOf(id) } };
}

function apiPath(id: string): string {
  return `/v1${subscriptionPath(id)}`;
}

function confirmPause({ id, backlog, in_flight }: View): void {
  confirmChange({
    title: "Pause",
    effect: `Stops the deliveries of ${id} until it is resumed. Its backlog of ${counted(backlog, "delivery", "deliveries")} and new events wait; ${counted(in_flight, "running attempt")} may end.`,
    call: `POST ${apiPath(id)}/pause`,
    run: async () => {
      await call("post", "/v1/subscriptions/{owner}/{name}/pause", path(id));
      return `${id} is paused.`;
    },
  });
}

function confirmResume({ id, backlog, held_back_until }: View): void {
  const hold = held_back_until === null ? "" : " The hold of its endpoint ends, too.";
  confirmChange({
    title: "Resume",
    effect: `Ends the pause of ${id} by an operator. Its backlog of ${counted(backlog, "delivery", "deliveries")} is delivered as soon as nothing else stops it.${hold}`,
    call: `POST ${apiPath(id)}/resume`,
    run: async () => {
      await call("post", "/v1/subscriptions/{owner}/{name}/resume", path(id));
      return `${id} is resumed.`;
    },
  });
}

async function confirmRetryAll(id: string): Promise<void> {
  const waiting: CountedDeliveries = await countRetrying(id);
  if (waiting.count === 0) {
    notify(`No delivery of ${id} waits for a retry.`);
    return;
  }
  const atLeast = waiting.isAll ? "" : "at least ";
  confirmChange({
    title: "Retry now",
    effect: `Retries ${atLeast}${counted(waiting.count, "delivery", "deliveries")} of ${id} and its replays now. Each attempt counts as usual.`,
    call: `POST /v1/deliveries/retry-now?subscription=${encodeURIComponent(id)}`,
    run: async () => {
      const { retried } = await call("post", "/v1/deliveries/retry-now", { params: { query: { subscription: id } } });
      return `Due now: ${counted(retried, "delivery", "deliveries")}.`;
    },
  });
}

function confirmRotation({ id, target }: View, setSecret: (secret: string) => void): void {
  const isSigned = "webhook" in target && target.signed;
  confirmChange({
    title: "Rotate secret",
    effect: isSigned
      ? `Replaces the secret of ${id} with a new one, which is shown once. For 24 hours, requests are also signed with the former secret.`
      : `Gives ${id} a secret, which is shown once. From then on, its requests are signed.`,
    call: `POST ${apiPath(id)}/secret`,
    run: async () => {
      // The host generates the secret, and uses its default for the overlap.
      const body = {} as Schemas["SecretRequest"];
      const { secret } = await call("post", "/v1/subscriptions/{owner}/{name}/secret", { ...path(id), body });
      if (secret != null) {
        setSecret(secret);
      }
      return `Requests of ${id} are now signed with the new secret.`;
    },
  });
}

function confirmDelete({ id, backlog, dead_letters }: View, deleted: () => void): void {
  confirmChange({
    title: "Delete",
    effect: `Deletes ${id} with its backlog of ${count(backlog)} and its ${counted(dead_letters, "dead letter")}. Its events stay in the log as long as the retention rules keep them.`,
    call: `DELETE ${apiPath(id)}`,
    isDestructive: true,
    run: async () => {
      await call("delete", "/v1/subscriptions/{owner}/{name}", path(id));
      deleted();
      return `${id} is deleted.`;
    },
  });
}
