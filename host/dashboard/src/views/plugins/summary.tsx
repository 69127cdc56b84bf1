import { Link } from "wouter-preact";
import { access } from "../../api/access";
import type { Schemas } from "../../api/client";
import { Badge, toneOf } from "../../components/badge";
import { Copy } from "../../components/copy";
import { Empty, Facts, Section } from "../../components/page";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { bytes, count, micros, seconds, short } from "../../model/format";
import { pluginPath, subscriptionPath } from "../../model/paths";
import { corsOf, corsText } from "../../model/plugin_texts";
import { utc, withTimes } from "../../model/time";
import { Capabilities } from "./capabilities";

type Plugin = Schemas["PluginView"];
type Subscription = Schemas["SubscriptionView"];

/** What applies to a plugin. */
export function Summary({ plugin, subscriptions }: { plugin: Plugin; subscriptions: Subscription[] | undefined }) {
  return (
    <>
      <Identity plugin={plugin} />
      <Routes plugin={plugin} />
      <Subscriptions plugin={plugin} subscriptions={subscriptions} />
      <Schedules plugin={plugin} />
      <Capabilities plugin={plugin} />
      <ConfigKeys plugin={plugin} />
    </>
  );
}

function Identity({ plugin }: { plugin: Plugin }) {
  const { digest, limits, rolled_back: pin } = plugin;
  return (
    <Section
      title="Generation"
      actions={
        // The overview concerns all plugins.
        access.value?.plugin === null && (
          <Link href={`/?plugin=${encodeURIComponent(plugin.name ?? "")}`}>Charts of the plugin</Link>
        )
      }
    >
      <Facts
        rows={[
          ["Version", plugin.version],
          [
            "Digest",
            digest === null ? null : (
              <>
                <code>{digest}</code> <Copy text={digest} />
              </>
            ),
          ],
          ["Size", plugin.size_bytes == null ? null : bytes(plugin.size_bytes)],
          ["Load time", plugin.load_us == null ? null : micros(plugin.load_us)],
          ["File", plugin.file],
          ["Timeout", limits?.timeout],
          ["Memory limit", limits && bytes(limits.memory_bytes)],
          ["Concurrency", limits && count(limits.concurrency)],
          [
            "Rolled back",
            pin && (
              <>
                from {short(pin.passed_over)} to {short(pin.runs)} at <Time at={pin.since} />: {pin.reason}
              </>
            ),
          ],
        ]}
      />
    </Section>
  );
}

function Routes({ plugin }: { plugin: Plugin }) {
  if (plugin.routes.length === 0) {
    return null;
  }
  return (
    <Section title="Routes">
      <ul class="plugin-list">
        {plugin.routes.map((route) => (
          <li key={route}>
            <code>{route}</code>
            {corsOf(plugin, route).map((rule, index) => (
              <p key={index} class="muted">
                CORS: {corsText(rule)}
              </p>
            ))}
            {plugin.overlaps
              .filter((overlap) => overlap.route === route)
              .map((overlap) => (
                <p key={`${overlap.plugin} ${overlap.theirs}`} class="muted">
                  Overlaps <code>{overlap.theirs}</code> of{" "}
                  <Link href={pluginPath({ name: overlap.plugin, file: null })}>{overlap.plugin}</Link>.{" "}
                  {overlap.goes_first ? "This route goes first." : "The other route goes first."}
                </p>
              ))}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Subscriptions({ plugin, subscriptions }: { plugin: Plugin; subscriptions: Subscription[] | undefined }) {
  if (plugin.subscriptions.length === 0 && (subscriptions ?? []).length === 0) {
    return null;
  }
  const declared = new Set(plugin.subscriptions.map((subscription) => `${plugin.name}/${subscription.name}`));
  const origin: Column<Subscription> = {
    title: "Declared",
    width: "7.5rem",
    isSecondary: true,
    cell: ({ id, dynamic }) => (dynamic ? "at run time" : declared.has(id) ? "yes" : "no longer"),
  };
  return (
    <Section title="Subscriptions">
      <Table
        label="Subscriptions of the plugin"
        columns={[...SUBSCRIPTION_COLUMNS, origin]}
        items={subscriptions ?? []}
        keyOf={(subscription) => `${subscription.id} ${subscription.replay?.number ?? ""}`}
        empty={<Empty title="The plugin does not run, so its subscriptions are not listed." />}
      />
    </Section>
  );
}

const SUBSCRIPTION_COLUMNS: Column<Subscription>[] = [
  {
    title: "Subscription",
    width: "minmax(8rem, 2fr)",
    cell: ({ id, replay }) => (
      <Link href={subscriptionPath(id)} title={id}>
        {id}
        {replay !== null && ` (replay ${replay.number})`}
      </Link>
    ),
  },
  { title: "Pattern", width: "minmax(6rem, 1fr)", isSecondary: true, cell: ({ pattern }) => <code>{pattern}</code> },
  {
    title: "Status",
    width: "6rem",
    cell: ({ status, waits_for: reason }) => (
      <span title={reason === null ? undefined : withTimes(reason, utc.value)}>
        <Badge tone={toneOf(status)}>{status}</Badge>
      </span>
    ),
  },
  { title: "Backlog", width: "5rem", isFigure: true, cell: ({ backlog }) => count(backlog) },
  {
    title: "Lag",
    width: "6rem",
    isFigure: true,
    isSecondary: true,
    cell: ({ lag_seconds: lag }) => (lag === null ? "–" : seconds(lag)),
  },
  { title: "Dead letters", width: "6.5rem", isFigure: true, isSecondary: true, cell: (item) => count(item.dead_letters) },
];

function Schedules({ plugin }: { plugin: Plugin }) {
  if (plugin.schedules.length === 0) {
    return null;
  }
  return (
    <Section title="Schedules" actions={<Link href="/schedules">Next occurrences</Link>}>
      <ul class="plugin-list">
        {plugin.schedules.map((schedule) => (
          <li key={schedule.name}>
            <strong>{schedule.name}</strong> <code>{schedule.cron}</code>{" "}
            <span class="muted">
              {schedule.timezone ?? "UTC"}, publishes {schedule.type}
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function ConfigKeys({ plugin }: { plugin: Plugin }) {
  if (plugin.config_keys.length === 0) {
    return null;
  }
  return (
    <Section title="Configuration keys">
      <ul class="plugin-list">
        {plugin.config_keys.map((key) => (
          <li key={key.name}>
            <code>{key.name}</code> <span class="muted">default: {key.default ?? "none"}</span>
            {key.description !== null && <p>{key.description}</p>}
          </li>
        ))}
      </ul>
      <p class="muted">The sidecar sets the values, which the API does not show because they may be secret.</p>
    </Section>
  );
}
