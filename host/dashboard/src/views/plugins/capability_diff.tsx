import { useId } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { Badge, type Tone } from "../../components/badge";
import { Section } from "../../components/page";
import { PlainTable } from "../../components/plain_table";
import { capabilityDiff, isRecorded, type CapabilityChange, type Holding } from "../../model/capability_diff";
import { count, short } from "../../model/format";
import { CAPABILITY_KINDS } from "../../model/plugin_texts";
import { useQuery } from "../../model/query";
import { timeText, utc } from "../../model/time";

type Generation = Schemas["GenerationView"];

const TONES: Record<CapabilityChange["change"], Tone> = { added: "info", removed: "plain", changed: "warn" };

/** What two generations of a plugin request and are granted, as a difference. The reader chooses the generations. */
export function CapabilityDiff({ generations }: { generations: Generation[] }) {
  const query = useQuery();
  const [former, latest] = [generations.at(-2), generations.at(-1)];
  if (former === undefined || latest === undefined) {
    return null;
  }
  const find = (digest: string | undefined) => generations.find((generation) => generation.digest === digest);
  const [before, after] = [find(query.get("from")) ?? former, find(query.get("to")) ?? latest];
  return (
    <Section title="Differences in capabilities">
      <div class="fields">
        <GenerationChoice
          label="From generation"
          chosen={before}
          generations={generations}
          choose={(digest) => query.set({ from: digest })}
        />
        <GenerationChoice
          label="To generation"
          chosen={after}
          generations={generations}
          choose={(digest) => query.set({ to: digest })}
        />
      </div>
      <Differences before={before} after={after} />
    </Section>
  );
}

interface ChoiceProps {
  label: string;
  chosen: Generation;
  generations: Generation[];
  choose: (digest: string) => void;
}

function GenerationChoice({ label, chosen, generations, choose }: ChoiceProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={chosen.digest} onInput={(change) => choose(change.currentTarget.value)}>
        {[...generations].reverse().map(({ digest, version, since }) => (
          <option key={digest} value={digest}>
            {`${short(digest)}, ${version}, started ${timeText(since, utc.value)}`}
          </option>
        ))}
      </select>
    </div>
  );
}

function Differences({ before, after }: { before: Generation; after: Generation }) {
  const unrecorded = [before, after].find((generation) => !isRecorded(generation));
  if (unrecorded !== undefined) {
    return (
      <p>
        The capabilities of generation <code>{short(unrecorded.digest)}</code> are not recorded, because an earlier release
        ran it.
      </p>
    );
  }
  const { changes, same } = capabilityDiff(before, after);
  const rest = same === 1 ? "1 capability is the same." : `${count(same)} capabilities are the same.`;
  if (changes.length === 0) {
    return <p>No differences. {rest}</p>;
  }
  return (
    <>
      <PlainTable
        label="Differences in capabilities"
        columns={["Capability", "Pattern", "Difference", `In ${short(before.digest)}`, `In ${short(after.digest)}`]}
      >
        <tbody>
          {changes.map(({ kind, pattern, change, before: old, after: current }) => (
            <tr key={`${kind} ${pattern}`}>
              <th scope="row">{CAPABILITY_KINDS[kind]}</th>
              <td>
                <code class="plain-value">{pattern}</code>
              </td>
              <td>
                <Badge tone={TONES[change]}>{change}</Badge>
              </td>
              <td>{holdingText(old)}</td>
              <td>{holdingText(current)}</td>
            </tr>
          ))}
        </tbody>
      </PlainTable>
      <p class="muted">{rest}</p>
    </>
  );
}

function holdingText({ isRequested, isGranted }: Holding): string {
  if (isRequested) {
    return isGranted ? "requested and granted" : "requested, withheld";
  }
  return isGranted ? "granted" : "neither requested nor granted";
}
