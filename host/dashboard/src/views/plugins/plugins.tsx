import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { access, may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Badge, toneOf } from "../../components/badge";
import { Empty, Page, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { count, short } from "../../model/format";
import { pluginPath } from "../../model/paths";
import "./plugins.css";
import { Upload } from "./upload";

type Plugin = Schemas["PluginView"];

/** The plugins, and the other files in the plugin folder. */
export default function Plugins() {
  const only = access.value?.plugin ?? null;
  return (
    <Page title="Plugins">
      {only === null ? <All /> : <Only name={only} />}
      {may("upload_plugin") && (
        <Section title="Upload">
          <Upload plugin={only ?? undefined} />
        </Section>
      )}
    </Page>
  );
}

function All() {
  const [cursors, setCursors] = useState<string[]>([]);
  const after = cursors.at(-1);
  const plugins = useGet("/v1/plugins", { params: { query: { after, limit: 1_000 } } });
  const statistics = useGet("/v1/statistics");
  return (
    <Loaded of={plugins}>
      {(page) => (
        <>
          {page.folder_error !== null && (
            <p class="problem" role="alert">
              The plugin folder cannot be read: {page.folder_error}
            </p>
          )}
          <List plugins={page.plugins} subjects={statistics.data?.subjects} />
          {(page.next !== null || cursors.length > 0) && (
            <div class="actions">
              <button type="button" disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
                Previous
              </button>
              <button
                type="button"
                disabled={page.next === null}
                onClick={() => page.next !== null && setCursors([...cursors, page.next])}
              >
                Next
              </button>
            </div>
          )}
        </>
      )}
    </Loaded>
  );
}

/** The list of a token for one plugin. */
function Only({ name }: { name: string }) {
  const plugin = useGet("/v1/plugins/{name}", { params: { path: { name } } });
  return <Loaded of={plugin}>{(found) => <List plugins={[found]} subjects={undefined} />}</Loaded>;
}

function List({ plugins, subjects }: { plugins: Plugin[]; subjects: Schemas["SubjectView"][] | undefined }) {
  const failed = new Map<string, number>();
  for (const { plugin, retried, failed: dead } of subjects ?? []) {
    failed.set(plugin, (failed.get(plugin) ?? 0) + retried + dead);
  }
  const failures: Column<Plugin> = {
    title: "Failures",
    width: "4.5rem",
    isFigure: true,
    isSecondary: true,
    cell: (plugin) => (plugin.name === null ? "–" : count(failed.get(plugin.name) ?? 0)),
  };
  const columns = [...COLUMNS, ...(subjects === undefined ? [] : [failures]), ERROR];
  return (
    <>
    <Table
      label="Plugins"
      columns={columns}
      items={plugins}
      keyOf={(plugin) => `${plugin.status === "removed" ? "removed " : ""}${plugin.file ?? plugin.name}`}
      toneOf={(plugin) => (plugin.error === null ? undefined : plugin.status === "ignored" ? "warn" : "bad")}
      empty={
        <Empty title="The plugin folder has no plugins.">
          {may("upload_plugin") ? "Upload one below, copy" : "Copy"} a <code>.wasm</code> file into the folder, or follow{" "}
          <Link href="/">the first steps</Link>.
        </Empty>
      }
    />
      {subjects !== undefined && plugins.length > 0 && (
        <p class="muted">Failures are attempts and requests that have failed in the last minute.</p>
      )}
    </>
  );
}

const COLUMNS: Column<Plugin>[] = [
  {
    title: "Plugin",
    width: "minmax(8rem, 1.5fr)",
    cell: (plugin) => <Link href={pluginPath(plugin)}>{plugin.name ?? plugin.file}</Link>,
  },
  {
    title: "Status",
    width: "minmax(6rem, 10rem)",
    cell: (plugin) => <Badge tone={toneOf(plugin.status)}>{plugin.status}</Badge>,
  },
  { title: "Version", width: "5.5rem", isSecondary: true, cell: (plugin) => plugin.version ?? "–" },
  {
    title: "Generation",
    width: "8rem",
    isSecondary: true,
    cell: (plugin) => (plugin.digest === null ? "–" : <code title={plugin.digest}>{short(plugin.digest)}</code>),
  },
  {
    title: "Routes",
    width: "minmax(5rem, 1.5fr)",
    isSecondary: true,
    cell: (plugin) =>
      plugin.routes.length === 0 ? "–" : <span title={plugin.routes.join("\n")}>{plugin.routes.join(", ")}</span>,
  },
  {
    title: "Subscriptions",
    width: "6.5rem",
    isFigure: true,
    isSecondary: true,
    cell: (plugin) => count(plugin.subscriptions.length),
  },
];

const ERROR: Column<Plugin> = {
  title: "Error",
  width: "minmax(4rem, 2fr)",
  cell: (plugin) => (plugin.error === null ? "–" : <span title={plugin.error}>{plugin.error}</span>),
};
