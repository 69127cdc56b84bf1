import type { Schemas } from "../../api/client";

/** The differences between the results of two generations, side by side. */
export function Comparison({ delivery }: { delivery: Schemas["DifferingDeliveryView"] }) {
  return (
    <table class="comparison">
      <caption>
        {delivery.subscription}, {delivery.type} <code>{delivery.event}</code>
      </caption>
      <thead>
        <tr>
          <th scope="col">Difference</th>
          <th scope="col">Running generation</th>
          <th scope="col">Other generation</th>
        </tr>
      </thead>
      <tbody>
        {delivery.differs.map(({ path, running, new: other }) => (
          <tr key={path}>
            <th scope="row">
              <code>{path}</code>
            </th>
            <td>
              <Value value={running} />
            </td>
            <td>
              <Value value={other} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Value({ value }: { value: unknown }) {
  return value === null || value === undefined ? (
    <span class="muted">none</span>
  ) : (
    <pre>{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>
  );
}
