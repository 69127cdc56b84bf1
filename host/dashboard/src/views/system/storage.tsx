import type { ComponentChildren } from "preact";
import { may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Action } from "../../components/action";
import { confirmChange } from "../../components/confirm";
import { Facts, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Time } from "../../components/time";
import { bytes, count, counted, percent } from "../../model/format";
import { RETENTION, valueText } from "../../model/settings";

type StorageView = Schemas["StorageView"];
type Setting = Schemas["SettingView"];

/** How often the sizes are read, in milliseconds. The host asks the file system for them. */
const REFRESH_STORAGE = 10_000;

/** What the host stores, how much space is left, and what it deletes when. */
export function Storage() {
  const storage = useGet("/v1/storage", undefined, { refresh: REFRESH_STORAGE });
  const configuration = useGet(may("get_configuration") ? "/v1/configuration" : null, undefined, { refresh: 0 });
  const { data } = storage;
  const settings = configuration.data?.settings ?? [];
  return (
    <Section
      title="Storage"
      actions={
        data !== undefined &&
        may("compact") && (
          <Action act={() => confirmCompaction(configuration.data?.settings, data)}>Apply retention rules</Action>
        )
      }
    >
      <Loaded of={storage}>
        {(view) => (
          <>
            <Sizes storage={view} />
            {settings.length > 0 && <Facts rows={RETENTION.map(([key, title]) => [title, retained(settings, key)])} />}
          </>
        )}
      </Loaded>
    </Section>
  );
}

function Sizes({ storage }: { storage: StorageView }) {
  const { first_position, last_position, oldest_event_at, free_bytes, total_bytes } = storage;
  return (
    <Facts
      rows={[
        ["Data directory", <code>{storage.directory}</code>],
        ["Store", size(storage.bus_bytes)],
        ["Ledger", size(storage.ledger_bytes)],
        ["Generations of plugins", size(storage.archive_bytes)],
        ["Free on the disk", <>{size(free_bytes)}, {percent(free_bytes, total_bytes)} of {size(total_bytes)}</>],
        ["First position in the log", first_position === null ? "none" : count(first_position)],
        ["Last position in the log", last_position === null ? "none" : count(last_position)],
        ["Oldest event", oldest_event_at === null ? "none" : <Time at={oldest_event_at} />],
      ]}
    />
  );
}

function size(value: number): ComponentChildren {
  return <span title={`${count(value)} bytes`}>{bytes(value)}</span>;
}

function retained(settings: Setting[], key: string): ComponentChildren {
  const value = settings.find((setting) => setting.key === key)?.value;
  if (value === undefined) {
    return null;
  }
  if (value === null) {
    return "unset";
  }
  return typeof value === "number" && key.endsWith("_bytes") ? size(value) : plain(value);
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : valueText(value);
}

function confirmCompaction(settings: Setting[] | undefined, { first_position, last_position }: StorageView): void {
  const valueOf = (key: string) => settings?.find((setting) => setting.key === key)?.value ?? null;
  const rules = RETENTION.slice(0, 2).flatMap(([key, title]) => {
    const value = valueOf(key);
    return value === null ? [] : [`${title} ${typeof value === "number" ? bytes(value) : plain(value)}.`];
  });
  if (rules.length > 0 && valueOf("bus.retain_delete_unhandled") === true) {
    rules.push("Unhandled events are deleted, too.");
  }
  const unknown = "The configuration has not been read, so the rules are not shown.";
  const none = settings === undefined ? unknown : "No rule is set, so nothing is deleted.";
  const log =
    first_position === null || last_position === null
      ? "The log is empty."
      : `The log has the positions ${count(first_position)} to ${count(last_position)}.`;
  confirmChange({
    title: "Apply retention rules",
    effect: (
      <>
        <p>Deletes the events that the retention rules no longer keep. {log}</p>
        <p>{rules.length > 0 ? rules.join(" ") : none}</p>
      </>
    ),
    call: "POST /v1/compaction",
    isDestructive: true,
    run: async () => `Deleted: ${counted((await call("post", "/v1/compaction")).deleted, "event")}.`,
  });
}
