import { Link } from "wouter-preact";
import { may } from "../../api/access";
import type { Schemas, Tagged } from "../../api/client";
import { useGet, useTagged } from "../../api/use";
import { Badge, toneOf } from "../../components/badge";
import { Empty, Page, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { useQuery } from "../../model/query";
import { PluginActions } from "./actions";
import { Generations } from "./generations";
import "./plugins.css";
import { Sidecar } from "./sidecar";
import { PluginState } from "./state";
import { Summary } from "./summary";
import { Upload } from "./upload";

/** The parts of the page by their names in the address, with the operation that the reader must be permitted. */
const TABS: [name: string, title: string, operation: string][] = [
  ["plugin", "Plugin", "get_plugin"],
  ["generations", "Generations", "get_plugin"],
  ["build", "New build", "upload_plugin"],
  ["sidecar", "Sidecar", "get_plugin"],
  ["state", "State", "list_state_keys"],
];

/** A plugin, or a file in the plugin folder that is not loaded. */
export default function Plugin({ name }: { name: string }) {
  const plugin = useTagged("/v1/plugins/{name}", { params: { path: { name } } });
  // The name in the address may be that of the file.
  const own = plugin.data === undefined ? null : plugin.data.data.name;
  const query = own === null ? {} : { plugin: own };
  const subscriptions = useGet(own === null ? null : "/v1/subscriptions", { params: { query: { ...query, limit: 1_000 } } });
  const list = subscriptions.data?.subscriptions;
  return (
    <Page
      title={name}
      context={<Link href="/plugins">Plugins</Link>}
      actions={plugin.data !== undefined && <PluginActions plugin={plugin.data} subscriptions={list} />}
    >
      {plugin.error?.status === 404 && plugin.data === undefined ? (
        <Empty title={`There is no plugin ${name}.`}>
          It may have been removed. See <Link href="/plugins">all plugins</Link>.
        </Empty>
      ) : (
        <Loaded of={plugin}>{(found) => <Parts found={found} subscriptions={list} />}</Loaded>
      )}
    </Page>
  );
}

interface PartsProps {
  found: Tagged<Schemas["PluginView"]>;
  subscriptions: Schemas["SubscriptionView"][] | undefined;
}

function Parts({ found: { data: plugin }, subscriptions }: PartsProps) {
  const tab = useQuery().get("tab") ?? "plugin";
  const { name } = plugin;
  return (
    <>
      <p class="actions">
        <Badge tone={toneOf(plugin.status)}>{plugin.status}</Badge>
        {plugin.description !== null && <span>{plugin.description}</span>}
      </p>
      {plugin.error !== null && (
        <p class="problem" role="alert">
          {plugin.error}
        </p>
      )}
      {name === null ? (
        <NotLoaded plugin={plugin} />
      ) : (
        <>
          <Tabs current={tab} />
          {tab === "plugin" && <Summary plugin={plugin} subscriptions={subscriptions} />}
          {tab === "generations" && <Generations name={name} plugin={plugin} />}
          {tab === "build" && may("upload_plugin") && <Upload plugin={name} />}
          {tab === "sidecar" && <Sidecar key={name} name={name} />}
          {tab === "state" && <PluginState key={name} name={name} />}
        </>
      )}
    </>
  );
}

/** A file that is not loaded: another build, or a sidecar, may help. */
function NotLoaded({ plugin: { file, status } }: { plugin: Schemas["PluginView"] }) {
  const stem = file?.replace(/\.wasm$/, "") ?? "";
  const isPlugin = status !== "ignored";
  return (
    <>
      <Empty title={`The file ${file} is not loaded.`}>
        {isPlugin
          ? `Fix the error, and replace the file in the plugin folder${may("upload_plugin") ? " or upload another build" : ""}.`
          : "If it should be a plugin, fix the error in the plugin folder."}
      </Empty>
      {isPlugin && may("upload_plugin") && (
        <Section title="New build">
          <Upload plugin={stem} />
        </Section>
      )}
      {isPlugin && may("get_sidecar") && <Sidecar name={stem} />}
    </>
  );
}

function Tabs({ current }: { current: string }) {
  return (
    <nav aria-label="Parts of the plugin">
      <ul class="plugin-tabs">
        {TABS.filter(([, , operation]) => may(operation)).map(([name, title]) => (
          <li key={name}>
            <Link
              href={name === "plugin" ? "?" : `?tab=${name}`}
              class={name === current ? "plugin-tab current" : "plugin-tab"}
              aria-current={name === current ? "page" : undefined}
            >
              {title}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}
