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

/** The last line of a form: its submit button, and the one that closes the form. */
export function FormActions(props: { submit: string; isBlocked?: boolean; close: () => void }) {
  return (
    <div class="actions">
      <button type="submit" class="primary" disabled={props.isBlocked}>
        {props.submit}
      </button>
      <button type="button" onClick={props.close}>
        Cancel
      </button>
    </div>
  );
}

/** The suggestions of an input whose attribute `list` is the id. */
export function Suggestions({ id, of }: { id: string; of: string[] }) {
  return (
    <datalist id={id}>
      {of.map((text) => (
        <option key={text} value={text} />
      ))}
    </datalist>
  );
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
      {suggestions !== undefined && <Suggestions id={`${id}-list`} of={suggestions} />}
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
