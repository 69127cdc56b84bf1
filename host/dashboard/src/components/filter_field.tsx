import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Suggestions } from "./fields";
import "./filter_field.css";

interface TextProps {
  label: string;
  value: string | undefined;
  onCommit: (value: string) => void;
  placeholder?: string;
  /** Why a text cannot be used; null if it can. The last text that could be used stays in effect. */
  check?: (text: string) => string | null;
  /** Suggestions. */
  options?: string[];
  type?: "text" | "search" | "datetime-local";
}

const PAUSE = 350;

/** A field of a filter. It takes effect when the reader pauses. */
export function FilterField({ label, value = "", onCommit, placeholder, check, options, type = "search" }: TextProps) {
  const id = useId();
  const [text, setText] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  useEffect(() => {
    // A change from elsewhere, such as a link, replaces the text. What the reader is typing stays.
    if (timer.current === undefined) {
      setText(value);
    }
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const fault = text === "" ? null : (check?.(text) ?? null);
  const input = (next: string) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      timer.current = undefined;
      if (next === "" || (check?.(next) ?? null) === null) {
        onCommit(next);
      }
    }, PAUSE);
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type={type}
        step={type === "datetime-local" ? 1 : undefined}
        value={text}
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        list={options === undefined ? undefined : `${id}-options`}
        aria-invalid={fault !== null}
        aria-describedby={fault === null ? undefined : `${id}-fault`}
        onInput={(event) => input(event.currentTarget.value)}
      />
      {options !== undefined && <Suggestions id={`${id}-options`} of={options} />}
      {fault !== null && (
        <span id={`${id}-fault`} class="field-fault" role="alert">
          {fault}
        </span>
      )}
    </div>
  );
}

/** A choice of a filter. An unknown value stays in the list, so that a link with it works. */
export function FilterChoice(props: {
  label: string;
  value: string | undefined;
  all: string;
  options: string[];
  onCommit: (value: string) => void;
}) {
  const id = useId();
  const { value = "", options } = props;
  const known = value === "" || options.includes(value) ? options : [value, ...options];
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select id={id} value={value} onInput={(event) => props.onCommit(event.currentTarget.value)}>
        <option value="">{props.all}</option>
        {known.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </div>
  );
}
