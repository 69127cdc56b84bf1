import { useState } from "preact/hooks";
import { inputOf, RANGES, timeOfInput, zoomed, type Range } from "../../model/overview_range";
import { utc, zoneName } from "../../model/time";

interface Props {
  range: Range;
  onChange: (query: Record<string, string | undefined>) => void;
}

/** Chooses the time of the charts: one that ends now, or one of the reader's own. */
export function RangeChoice({ range, onChange }: Props) {
  const [isOpen, setOpen] = useState(false);
  return (
    <div class="overview-range">
      <div class="actions">
        <div role="group" aria-label="Time" class="segments">
          {RANGES.map(([name, label]) => (
            <button
              key={name}
              type="button"
              aria-pressed={range.name === name}
              onClick={() => onChange({ range: name, from: undefined, to: undefined })}
            >
              {label}
            </button>
          ))}
          <button
            type="button"
            aria-pressed={range.name === null}
            aria-expanded={isOpen || range.name === null}
            onClick={() => setOpen(!isOpen)}
          >
            Custom
          </button>
        </div>
        {range.name === null && (
          <button type="button" onClick={() => onChange({ from: undefined, to: undefined })}>
            Reset zoom
          </button>
        )}
      </div>
      {(isOpen || range.name === null) && (
        <Inputs key={`${range.name ?? range.from}-${range.to - range.from}-${utc.value}`} range={range} onChange={onChange} />
      )}
    </div>
  );
}

function Inputs({ range, onChange }: Props) {
  const [from, setFrom] = useState(inputOf(range.from, utc.value));
  const [to, setTo] = useState(inputOf(range.to, utc.value));
  const [first, end] = [timeOfInput(from, utc.value), timeOfInput(to, utc.value)];
  const isValid = first < end;
  const submit = (event: Event) => {
    event.preventDefault();
    if (isValid) {
      onChange(zoomed(first, end));
    }
  };
  return (
    <form class="actions" onSubmit={submit}>
      <label for="range-from">From</label>
      <input
        id="range-from"
        type="datetime-local"
        value={from}
        onInput={(event) => setFrom(event.currentTarget.value)}
      />
      <label for="range-to">To</label>
      <input id="range-to" type="datetime-local" value={to} onInput={(event) => setTo(event.currentTarget.value)} />
      <button type="submit" disabled={!isValid}>
        Show
      </button>
      <span class="muted">{isValid ? zoneName(utc.value) : "The end must be after the beginning."}</span>
    </form>
  );
}
