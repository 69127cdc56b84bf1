import type { Selection } from "../../model/minutes";
import type { Facts } from "../../model/overview_problems";
import { choicesOf, valueOf, queryOfValue } from "../../model/overview_subjects";

interface Props {
  facts: Facts;
  selection: Selection;
  onChange: (query: Record<string, string | undefined>) => void;
}

/** Chooses what the charts are about. */
export function SubjectChoice({ facts, selection, onChange }: Props) {
  const chosen = valueOf(selection);
  const groups = choicesOf(facts, selection);
  return (
    <div class="actions">
      <label for="overview-subject">Subject</label>
      <select
        id="overview-subject"
        value={chosen}
        onChange={(event) => onChange(queryOfValue(event.currentTarget.value))}
      >
        <option value="">All plugins and subscriptions</option>
        {groups.map(({ plugin, choices }) => (
          <optgroup key={plugin} label={plugin}>
            {choices.map(({ value, label }) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
    </div>
  );
}
