import { Link } from "wouter-preact";
import type { Schemas } from "../api/client";
import { eventPath } from "../model/event_paths";
import { count } from "../model/format";
import { PlainTable } from "./plain_table";

interface Props {
  report: Schemas["CanaryView"];
  /** What to call the generation that does not run, as the title of a column. */
  other: string;
}

/** The differences between the results of two generations, side by side. Nothing if there are none. */
export function CanaryDifferences({ report: { differences, different }, other }: Props) {
  if (differences.length === 0) {
    return null;
  }
  return (
    <>
      {differences.length < different && (
        <p class="muted">
          The first {count(differences.length)} of {count(different)} different deliveries:
        </p>
      )}
      <PlainTable label="Differences" class="canary-table" columns={["Path", "Running", other]}>
        {differences.map((delivery) => (
          <tbody key={`${delivery.subscription} ${delivery.event}`}>
            <tr>
              <th scope="rowgroup" colSpan={3}>
                <Link href={eventPath(delivery.event)}>{delivery.type}</Link>
                <span class="muted"> for {delivery.subscription}</span>
              </th>
            </tr>
            {delivery.differs.map(({ path, running, new: value }) => (
              <tr key={path}>
                <td>
                  <code>{path}</code>
                </td>
                <td>
                  <Value value={running} />
                </td>
                <td>
                  <Value value={value} />
                </td>
              </tr>
            ))}
            {delivery.differs.length === 0 && (
              <tr>
                <td colSpan={3} class="muted">
                  Your role does not show the differences.
                </td>
              </tr>
            )}
          </tbody>
        ))}
      </PlainTable>
    </>
  );
}

function Value({ value }: { value: unknown }) {
  return value === undefined || value === null ? (
    <span class="muted">none</span>
  ) : (
    <code class="plain-value">{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</code>
  );
}
