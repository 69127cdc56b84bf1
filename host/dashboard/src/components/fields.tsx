import { useId } from "preact/hooks";
import "./fields.css";

interface FieldProps {
  label: string;
  value: string;
  set: (value: string) => void;
  /** An example of a value. */
  hint?: string;
  type?: string;
  isFixed?: boolean;
  suggestions?: string[];
}

/** A labelled input of one line. */
export function Field({ label, value, set, hint, type = "text", isFixed, suggestions }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type={type}
        value={value}
        placeholder={hint}
        disabled={isFixed}
        autocomplete="off"
        spellcheck={false}
        list={suggestions === undefined ? undefined : `${id}-list`}
        onInput={(event) => set(event.currentTarget.value)}
      />
      {suggestions !== undefined && (
        <datalist id={`${id}-list`}>
          {suggestions.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      )}
    </div>
  );
}

/** A labelled input of several lines. */
export function Area({ label, value, set, hint }: Pick<FieldProps, "label" | "value" | "set" | "hint">) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        rows={3}
        value={value}
        placeholder={hint}
        spellcheck={false}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </div>
  );
}

/** A labelled choice. An empty value is shown as the default. */
export function Choice<Value extends string>(props: {
  label: string;
  value: Value;
  choices: readonly Value[];
  set: (value: Value) => void;
}) {
  const id = useId();
  const { label, value, choices, set } = props;
  const choose = (chosen: string) => {
    const known = choices.find((choice) => choice === chosen);
    if (known !== undefined) {
      set(known);
    }
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {choices.map((choice) => (
          <option key={choice} value={choice}>
            {choice === "" ? "default" : choice}
          </option>
        ))}
      </select>
    </div>
  );
}
