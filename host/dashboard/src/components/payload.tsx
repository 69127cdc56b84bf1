import { useState } from "preact/hooks";
import { isExactNumber } from "../model/exact_json";
import { bytes } from "../model/format";
import { formsOf, type Form } from "../model/payload";
import { Copy } from "./copy";

interface Props {
  /** The data of an event or a value, as the API returns it. */
  data: unknown;
  /** The data in base64, if it is binary. */
  base64?: string | null;
}

/** A payload as a tree, as text or as hex. It is shown as text only and never interpreted as markup. */
export function Payload({ data, base64 }: Props) {
  const [chosen, setChosen] = useState<Form | null>(null);
  const forms = formsOf(data, base64 ?? null);
  if (forms === null) {
    return <p class="muted">No payload, or your role does not show it.</p>;
  }
  const form = chosen !== null && forms.available.includes(chosen) ? chosen : forms.available[0];
  return (
    <div class="payload">
      <div class="actions">
        <div role="group" aria-label="Form of the payload" class="segments">
          {forms.available.map((name) => (
            <button key={name} type="button" aria-pressed={name === form} onClick={() => setChosen(name)}>
              {name}
            </button>
          ))}
        </div>
        <span class="muted">{bytes(forms.size)}</span>
        <Copy text={forms.text} />
      </div>
      {form === "tree" ? (
        <div class="tree" tabIndex={0} role="group" aria-label="Payload">
          <Node value={data} depth={0} />
        </div>
      ) : (
        <pre class="code" tabIndex={0} aria-label="Payload">
          {form === "hex" ? forms.hex() : forms.text()}
        </pre>
      )}
    </div>
  );
}

/** How many members of an object or array are shown before the reader asks for more. */
const SHOWN = 100;

function Node({ name, value, depth }: { name?: string; value: unknown; depth: number }) {
  const [shown, setShown] = useState(SHOWN);
  const label = name === undefined ? null : <span class="tree-name">{name}: </span>;
  if (typeof value !== "object" || value === null || isExactNumber(value)) {
    return (
      <div class="tree-leaf">
        {label}
        <span class={`tree-${value === null ? "null" : typeof value === "object" ? "number" : typeof value}`}>{JSON.stringify(value)}</span>
      </div>
    );
  }
  const members = Object.entries(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (members.length === 0) {
    return (
      <div class="tree-leaf">
        {label}
        {open}
        {close}
      </div>
    );
  }
  return (
    <details open={depth < 3}>
      <summary>
        {label}
        {open} <span class="muted">{members.length}</span> {close}
      </summary>
      {members.slice(0, shown).map(([key, member]) => (
        <Node key={key} name={key} value={member} depth={depth + 1} />
      ))}
      {members.length > shown && (
        <button type="button" class="quiet" onClick={() => setShown(shown + SHOWN)}>
          {members.length - shown} more
        </button>
      )}
    </details>
  );
}
