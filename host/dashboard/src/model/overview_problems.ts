/** What needs the attention of an operator, from what the API reports. */

import type { Schemas } from "../api/client";
import { bytes, count, counted, percent, seconds, short } from "./format";
import { countOf, subjectOf, type Minute } from "./minutes";
import { pluginPath, subscriptionPath } from "./paths";

/** A problem, and the page that fixes it. */
export interface Problem {
  id: string;
  severity: "bad" | "warn";
  title: string;
  /** Why, or what follows from it. */
  detail?: string;
  href: string;
  /** What the page is for. */
  action: string;
}

/** What the problems are found in. A part that is not known yet, or that the reader may not see, is missing. */
export interface Facts {
  plugins?: Schemas["PluginView"][];
  folderError?: string | null;
  subscriptions?: Schemas["SubscriptionView"][];
  groups?: Schemas["DeadLetterGroupView"][];
  statistics?: Schemas["StatisticsView"];
  storage?: Schemas["StorageView"];
  /** The aggregates of the last minutes that have ended. */
  minutes?: Minute[];
}

/** The lag from which deliveries count as stuck, in seconds. The alert `SandbusDeliveryStuck` has the same. */
const STUCK_SECONDS = 600;
/** The shares of free disk space below which there is little, and almost none. */
const LITTLE_SPACE = 0.1;
const NO_SPACE = 0.02;
/** How many minutes in succession a backlog must grow. */
const GROWING_MINUTES = 3;
/** How many groups of dead letters are listed one by one. */
const GROUPS_SHOWN = 5;

/** All problems, the severe ones first. */
export function problemsOf(facts: Facts): Problem[] {
  const problems = [
    ...ofStorage(facts.storage),
    ...ofLedger(facts.statistics?.ledger),
    ...ofPlugins(facts.plugins ?? [], facts.folderError ?? null),
    ...ofStatistics(facts.statistics?.subjects ?? []),
    ...ofGroups(facts.groups ?? []),
    ...(facts.subscriptions ?? []).flatMap((subscription) => ofSubscription(subscription, facts.minutes ?? [])),
  ];
  const rank = (problem: Problem) => (problem.severity === "bad" ? 0 : 1);
  return problems.sort((first, second) => rank(first) - rank(second));
}

function ofStorage(storage: Schemas["StorageView"] | undefined): Problem[] {
  if (storage === undefined || storage.total_bytes === 0) {
    return [];
  }
  const { free_bytes: free, total_bytes: total, directory } = storage;
  if (free >= LITTLE_SPACE * total) {
    return [];
  }
  return [
    {
      id: "storage",
      severity: free < NO_SPACE * total ? "bad" : "warn",
      title: `${bytes(free)} of disk space are free (${percent(free, total)})`,
      detail: `In ${directory}. Without space, publishers get 507 and deliveries stop.`,
      href: "/system",
      action: "Show storage",
    },
  ];
}

function ofLedger(ledger: Schemas["LedgerView"] | undefined): Problem[] {
  if (ledger === undefined) {
    return [];
  }
  const page = { href: "/system", action: "Show storage" };
  if (!ledger.available) {
    const title = "The ledger cannot be written";
    return [{ id: "ledger", severity: "bad", title, detail: ledger.unavailable_reason ?? undefined, ...page }];
  }
  if (ledger.lost > 0) {
    const title = `The ledger has lost ${counted(ledger.lost, "record")} since the host started`;
    return [{ id: "ledger-lost", severity: "warn", title, ...page }];
  }
  return [];
}

function ofPlugins(plugins: Schemas["PluginView"][], folderError: string | null): Problem[] {
  const problems = plugins.flatMap((plugin) => ofPlugin(plugin));
  if (folderError !== null) {
    const title = "The plugin folder cannot be read";
    const page = { href: "/plugins", action: "Show plugins" };
    problems.unshift({ id: "folder", severity: "bad", title, detail: folderError, ...page });
  }
  return problems;
}

function ofPlugin(plugin: Schemas["PluginView"]): Problem[] {
  const name = plugin.name ?? plugin.file ?? "?";
  const page = { href: pluginPath(plugin), action: "Open plugin" };
  const detail = plugin.error ?? undefined;
  const id = `plugin ${plugin.status} ${plugin.file ?? name}`;
  switch (plugin.status) {
    case "broken":
      return [{ id, severity: "bad", title: `${name} does not run`, detail, ...page }];
    case "running an older file":
      return [{ id, severity: "bad", title: `${name} runs an older file`, detail, ...page }];
    case "ignored":
      return [{ id, severity: "warn", title: `The file ${name} is ignored`, detail, ...page }];
    case "rolled back": {
      const title = `${name} is rolled back to ${short(plugin.rolled_back?.runs ?? "")}`;
      return [{ id, severity: "warn", title, detail: plugin.rolled_back?.reason, ...page }];
    }
    case "drained":
      return [{ id, severity: "warn", title: `${name} is drained`, detail: "Its routes answer 503.", ...page }];
    default:
      return detail === undefined ? [] : [{ id, severity: "bad", title: `${name} has an error`, detail, ...page }];
  }
}

function ofStatistics(subjects: Schemas["SubjectView"][]): Problem[] {
  return subjects.flatMap((subject): Problem[] => {
    const failures = subject.failed + subject.retried;
    if (failures === 0) {
      return [];
    }
    const { subscription } = subject;
    const noun = subscription === null ? "request" : "attempt";
    return [
      {
        id: `failing ${subjectOf(subject)}`,
        severity: subject.failed > 0 ? "bad" : "warn",
        title: `${subjectOf(subject)}: ${count(failures)} of ${counted(countOf(subject), noun)} failed in the last minute`,
        detail: subscription === null ? undefined : `${count(subject.retried)} retried, ${counted(subject.failed, "dead letter")}`,
        href: subscription === null ? pluginPath({ name: subject.plugin, file: null }) : subscriptionPath(subscription),
        action: subscription === null ? "Open plugin" : "Open subscription",
      },
    ];
  });
}

function ofGroups(groups: Schemas["DeadLetterGroupView"][]): Problem[] {
  const page = { href: "/dead-letters", action: "Show dead letters" };
  const problems = groups.slice(0, GROUPS_SHOWN).map((group): Problem => {
    const href = `/dead-letters?subscription=${encodeURIComponent(group.subscription)}`;
    return {
      id: `group ${group.sample}`,
      severity: "bad",
      title: `${counted(group.count, "dead letter")} of ${group.subscription} (${group.cause})`,
      detail: group.signature,
      ...page,
      href,
    };
  });
  const rest = groups.slice(GROUPS_SHOWN);
  if (rest.length > 0) {
    const letters = rest.reduce((sum, group) => sum + group.count, 0);
    const title = `${counted(letters, "dead letter")} in ${counted(rest.length, "more group")}`;
    problems.push({ id: "groups", severity: "bad", title, ...page });
  }
  return problems;
}

function ofSubscription(subscription: Schemas["SubscriptionView"], minutes: Minute[]): Problem[] {
  const name = subscription.replay === null ? subscription.id : `${subscription.id} (replay ${subscription.replay.number})`;
  const page = { href: subscriptionPath(subscription.id), action: "Open subscription" };
  const of = (kind: string, severity: "bad" | "warn", title: string, detail?: string): Problem => {
    return { id: `${kind} ${name}`, severity, title, detail, ...page };
  };
  const { backlog, lag_seconds: lag, held_back_until: held, waits_for: reason } = subscription;
  const pending = `${counted(backlog, "delivery", "deliveries")} in the backlog`;
  const problems: Problem[] = [];
  if (subscription.status === "paused") {
    problems.push(of("paused", backlog > 0 ? "bad" : "warn", `${name} does not deliver: ${reason ?? "paused"}`, pending));
  } else if (lag !== null && lag >= STUCK_SECONDS) {
    problems.push(of("stuck", "bad", `${name}: the oldest delivery has waited for ${seconds(lag)}`, pending));
  }
  if (held !== null) {
    problems.push(of("held", "warn", `${name}: the endpoint is on hold until ${held}`, pending));
  }
  if (subscription.parked_keys > 0) {
    const keys = counted(subscription.parked_keys, "ordering key is", "ordering keys are");
    problems.push(of("parked", "bad", `${name}: ${keys} parked behind a dead letter`, "Redrive or drop the dead letters."));
  }
  if (subscription.expired > 0) {
    const expired = counted(subscription.expired, "event was", "events were");
    problems.push(of("expired", "bad", `${name}: ${expired} deleted unhandled by retention since the host started`));
  }
  const growth = subscription.replay === null ? growthOf(subscription, minutes) : null;
  if (growth !== null) {
    const title = `${name}: the backlog has grown from ${count(growth)} to ${count(backlog)} in ${GROWING_MINUTES} minutes`;
    problems.push(of("growing", "warn", title));
  }
  return problems;
}

/** The backlog before it began to grow, if it has grown in each of the last minutes; else null. */
function growthOf(subscription: Schemas["SubscriptionView"], minutes: Minute[]): number | null {
  const last = minutes.reduce((latest, minute) => Math.max(latest, Date.parse(minute.at)), 0);
  const ends = Array.from({ length: GROWING_MINUTES }, (_, index) => last - (GROWING_MINUTES - 1 - index) * 60_000);
  const backlogs = ends.map((end) => {
    const minute = minutes.find((entry) => entry.subscription === subscription.id && Date.parse(entry.at) === end);
    return minute?.backlog ?? 0;
  });
  const grows = [...backlogs, subscription.backlog].every((backlog, index, all) => index === 0 || backlog > (all[index - 1] ?? 0));
  return grows ? (backlogs[0] ?? 0) : null;
}
