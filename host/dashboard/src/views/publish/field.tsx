import { useId } from "preact/hooks";
import "../../components/filter_field.css";

interface Props {
  name: string;
  label: string;
  value: string;
  /** What is wrong with the value. */
  fault: string | undefined;
  onInput: (value: string) => void;
  placeholder?: string;
  /** Suggestions. */
  options?: string[];
  /** For a text of several lines. */
  rows?: number;
  type?: string;
}

/** A field of a form, with its fault. */
export function Field({ name, label, value, fault, onInput, placeholder, options, rows, type = "text" }: Props) {
  const id = useId();
  const shared = {
    id,
    name,
    value,
    placeholder,
    spellcheck: false,
    autocomplete: "off",
    "aria-invalid": fault !== undefined,
    "aria-describedby": fault === undefined ? undefined : `${id}-fault`,
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {rows === undefined ? (
        <input
          {...shared}
          type={type}
          step={type === "datetime-local" ? 1 : undefined}
          list={options === undefined ? undefined : `${id}-options`}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      ) : (
        <textarea {...shared} rows={rows} onInput={(event) => onInput(event.currentTarget.value)} />
      )}
      {options !== undefined && (
        <datalist id={`${id}-options`}>
          {options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
      {fault !== undefined && (
        <span id={`${id}-fault`} class="field-fault">
          {fault}
        </span>
      )}
    </div>
  );
}
