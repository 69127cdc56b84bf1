import type { Schemas } from "../../api/client";
import { Badge } from "../../components/badge";
import { Section } from "../../components/page";
import { PlainTable } from "../../components/plain_table";
import { CAPABILITY_KINDS, capabilitiesOf, type Capability } from "../../model/plugin_texts";

/** What a plugin requests, and what it is granted, side by side. */
export function Capabilities({ plugin }: { plugin: Schemas["PluginView"] }) {
  if (plugin.granted === null) {
    return null;
  }
  const capabilities = capabilitiesOf(plugin);
  const withheld = capabilities.filter((capability) => !capability.isGranted).length;
  return (
    <Section title="Capabilities" actions={withheld > 0 && <Badge tone="warn">{withheld} withheld</Badge>}>
      {capabilities.length === 0 ? (
        <p class="muted">The plugin requests no capabilities, and is granted none.</p>
      ) : (
        <PlainTable label="Capabilities" columns={["Capability", "Requested", "Granted"]}>
          <tbody>
            {capabilities.map((capability) => (
              <Row key={`${capability.kind} ${capability.pattern}`} capability={capability} />
            ))}
          </tbody>
        </PlainTable>
      )}
      {withheld > 0 && (
        <p class="muted">
          To grant what is withheld, add it to <code>[grants]</code> in the sidecar.
        </p>
      )}
    </Section>
  );
}

function Row({ capability: { kind, pattern, isRequested, isGranted } }: { capability: Capability }) {
  return (
    <tr>
      <th scope="row">{CAPABILITY_KINDS[kind]}</th>
      <td>{isRequested ? <code>{pattern}</code> : <span class="muted">–</span>}</td>
      <td>
        {!isGranted && <Badge tone="warn">withheld</Badge>}
        {isGranted && (isRequested ? <Badge tone="good">granted</Badge> : <code>{pattern}</code>)}
      </td>
    </tr>
  );
}
