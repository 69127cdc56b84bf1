import { Link } from "wouter-preact";
import type { Schemas } from "../../api/client";
import { RequestOutcome } from "../../components/outcome";
import { Facts } from "../../components/page";
import { Payload } from "../../components/payload";
import { PlainTable } from "../../components/plain_table";
import { causePath } from "../../model/event_paths";
import { micros } from "../../model/format";

type Response = Schemas["RouteResponseView"];

/** What a body that was not read to its end lacks. */
const ENDS: Record<string, string> = {
  truncated: "The body is longer. Only its first 256 KiB are shown.",
  failed: "The body broke off, or did not end in time.",
};

/** The response of a route. Its body is shown as text. */
export function RouteResponse({ response }: { response: Response }) {
  const { status, took_us, request, headers, body, body_base64, body_end } = response;
  const end = ENDS[body_end];
  return (
    <section class="card stack" aria-label="Response">
      <Facts
        rows={[
          ["Status", <RequestOutcome request={{ status }} />],
          ["Duration", <span class="figure">{micros(took_us)}</span>],
          ["Request", request === null ? "reached no route" : <code>{request}</code>],
          ["Caused", request === null ? null : <Link href={causePath(request)}>Show its cause tree</Link>],
        ]}
      />
      <PlainTable label="Headers of the response" columns={["Header", "Value"]}>
        <tbody>
          {headers.map(({ name, value }, index) => (
            <tr key={index}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td>
                <code class="plain-value">{value}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </PlainTable>
      {body === "" ? <p class="muted">The body is empty.</p> : <Payload data={body} base64={body_base64} />}
      {end !== undefined && <p>{end}</p>}
    </section>
  );
}
