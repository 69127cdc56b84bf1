import type { Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Empty, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { count } from "../../model/format";
import { useQuery } from "../../model/query";
import { matching, originText, valueText } from "../../model/settings";

const COLUMNS: Column<Schemas["SettingView"]>[] = [
  { title: "Key", width: "minmax(9rem, 1fr)", cell: ({ key }) => <code title={key}>{key}</code> },
  {
    title: "Value",
    width: "minmax(7rem, 1fr)",
    cell: ({ value }) => <code title={valueText(value)}>{valueText(value)}</code>,
  },
  {
    title: "Origin",
    width: "minmax(7rem, 1fr)",
    isSecondary: true,
    cell: (setting) => <span title={originText(setting)}>{originText(setting)}</span>,
  },
];

/** The effective configuration, with the origin of each value. */
export function Configuration() {
  const query = useQuery();
  const configuration = useGet("/v1/configuration", undefined, { refresh: 0 });
  const text = query.get("q") ?? "";
  return (
    <Section
      title="Configuration"
      actions={
        <>
          <label for="settings-search">Search</label>
          <input
            id="settings-search"
            type="search"
            value={text}
            onInput={(event) => query.set({ q: event.currentTarget.value })}
          />
        </>
      }
    >
      <Loaded of={configuration}>
        {({ settings }) => {
          const found = matching(settings, text);
          return (
            <>
              <p class="muted" role="status">
                {count(found.length)} of {count(settings.length)} settings
              </p>
              <Table
                label="Settings"
                columns={COLUMNS}
                items={found}
                keyOf={({ key }) => key}
                empty={<Empty title="No setting matches.">Search for a part of a key, a value or an origin.</Empty>}
              />
            </>
          );
        }}
      </Loaded>
    </Section>
  );
}
