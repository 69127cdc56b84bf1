import { useId } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { counted } from "../../model/format";

type Sample = Schemas["SampleView"];

/** The events and requests of scenario files. They are read again, because the reader may be writing them. */
export function useScenarios() {
  return useGet("/v1/samples", undefined, { refresh: 10_000 });
}

interface Props {
  label: string;
  /** The samples to choose from. */
  samples: Sample[];
  /** What to call a sample, besides its scenario. */
  textOf: (sample: Sample) => string;
  onChoose: (sample: Sample) => void;
}

/** A choice of samples, by scenario file. Nothing if there are none. */
export function ScenarioChoice({ label, samples, textOf, onChoose }: Props) {
  const id = useId();
  if (samples.length === 0) {
    return null;
  }
  const files = [...new Set(samples.map(({ file }) => file))];
  return (
    <div class="field publish-samples">
      <label for={id}>{label}</label>
      <select
        id={id}
        value=""
        onInput={(change) => {
          const chosen = samples[Number(change.currentTarget.value)];
          if (chosen !== undefined) {
            onChoose(chosen);
          }
          change.currentTarget.value = "";
        }}
      >
        <option value="">Choose a step</option>
        {files.map((file) => (
          <optgroup key={file} label={file}>
            {samples.map(
              (sample, index) =>
                sample.file === file && (
                  <option key={index} value={index}>
                    {`${textOf(sample)}, step ${sample.step} of “${sample.scenario}”`}
                  </option>
                ),
            )}
          </optgroup>
        ))}
      </select>
    </div>
  );
}

/** The scenario files that cannot be read, and how many samples are left out. */
export function ScenarioFaults() {
  const { data } = useScenarios();
  if (data === undefined || (data.faults.length === 0 && data.omitted === 0)) {
    return null;
  }
  return (
    <div class="card">
      {data.faults.length > 0 && (
        <>
          <p>{counted(data.faults.length, "scenario")} cannot be used as a sample:</p>
          <ul class="publish-faults">
            {data.faults.map(({ file, reason }) => (
              <li key={`${file} ${reason}`}>
                <code>{file}</code>: {reason}
              </li>
            ))}
          </ul>
        </>
      )}
      {data.omitted > 0 && <p>{counted(data.omitted, "file or sample", "files and samples")} are left out, because there are too many.</p>}
    </div>
  );
}
