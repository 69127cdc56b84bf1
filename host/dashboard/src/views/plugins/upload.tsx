import { useState } from "preact/hooks";
import { may } from "../../api/access";
import type { Schemas } from "../../api/client";
import { useTagged } from "../../api/use";
import { confirmChange } from "../../components/confirm";
import { Problem } from "../../components/problem";
import { bytes, short } from "../../model/format";
import { uploadComponent } from "../../model/plugin_calls";
import { canaryText, nameOfFile, uploadText } from "../../model/plugin_texts";
import { Canary } from "./canary";
import "./plugins.css";

interface UploadProps {
  /** The plugin, if the page knows it. */
  plugin?: string;
  /** Called when the reader has chosen a file, and when no file is chosen any more. */
  onChoice?: (isChosen: boolean) => void;
}

/** Uploads a build. For a plugin that runs, it offers a canary first. */
export function Upload({ plugin, onChoice }: UploadProps) {
  const [installed, setInstalled] = useState(0);
  const next = () => {
    setInstalled((number) => number + 1);
    onChoice?.(false);
  };
  return <Choice key={installed} plugin={plugin} onChoice={onChoice} onInstalled={next} />;
}

interface Props extends UploadProps {
  onInstalled: () => void;
}

function Choice({ plugin, onChoice, onInstalled }: Props) {
  const [file, setFile] = useState<File | null>(null);
  const [isOver, setOver] = useState(false);
  const choose = (chosen: File | null | undefined) => {
    setFile(chosen ?? null);
    onChoice?.(chosen != null);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    choose(event.dataTransfer?.files[0]);
  };
  return (
    <div class="stack">
      <div
        class={isOver ? "upload upload-over" : "upload"}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <label for="upload-file">Choose or drop a .wasm file</label>
        <input
          id="upload-file"
          type="file"
          accept=".wasm,application/wasm"
          onChange={(event) => choose(event.currentTarget.files?.[0])}
        />
      </div>
      {file !== null && <Chosen key={`${file.name} ${file.lastModified}`} file={file} plugin={plugin} onInstalled={onInstalled} />}
    </div>
  );
}

/** A chosen file: its plugin, and what can be done with it. */
function Chosen({ file, plugin, onInstalled }: Props & { file: File }) {
  const [name, setName] = useState(plugin ?? nameOfFile(file.name));
  return (
    <div class="stack">
      <div class="fields">
        <div class="field">
          <label for="upload-name">Plugin</label>
          <input
            id="upload-name"
            value={name}
            readOnly={plugin !== undefined}
            onInput={(event) => setName(event.currentTarget.value.trim())}
          />
        </div>
        <div class="field">
          <span class="muted">File</span>
          <span>
            {file.name}, {bytes(file.size)}
          </span>
        </div>
      </div>
      {name !== "" && <Install key={name} name={name} file={file} onInstalled={onInstalled} />}
    </div>
  );
}

/** Installs a file as a plugin that may exist already. */
function Install({ name, file, onInstalled }: { name: string; file: File; onInstalled: () => void }) {
  const current = useTagged("/v1/plugins/{name}", { params: { path: { name } } });
  const [report, setReport] = useState<Schemas["CanaryView"] | null>(null);
  const isNew = current.error?.status === 404;
  if (current.error !== undefined && !isNew) {
    return <Problem error={current.error} />;
  }
  if (current.data === undefined && !isNew) {
    return (
      <p class="muted" role="status">
        Loading…
      </p>
    );
  }
  const running = isNew ? undefined : current.data?.data;
  const tag = isNew ? null : (current.data?.tag ?? null);
  const isComparable = running !== undefined && running.digest !== null;
  return (
    <>
      <p>
        {running === undefined && `${name} is a new plugin.`}
        {running !== undefined && !isComparable && `${name} exists and does not run: ${running.status}.`}
        {isComparable && `${name} runs generation ${short(running.digest ?? "")}. Compare the build with it first.`}
      </p>
      {isComparable && may("run_canary") && <Canary name={name} source={{ file }} onReport={setReport} />}
      <div class="actions">
        <button
          type="button"
          class={isComparable && report === null ? undefined : "primary"}
          onClick={() => confirmUpload({ name, file, running, tag, report, onInstalled })}
        >
          {isComparable && report === null ? "Upload without canary" : "Upload"}
        </button>
      </div>
    </>
  );
}

function confirmUpload(upload: {
  name: string;
  file: File;
  running: Schemas["PluginView"] | undefined;
  tag: string | null;
  report: Schemas["CanaryView"] | null;
  onInstalled: () => void;
}) {
  const { name, file, running, tag, report, onInstalled } = upload;
  confirmChange({
    title: `Upload ${name}`,
    effect: (
      <div class="stack">
        <p>{uploadText(name, file.size, running)}</p>
        {running !== undefined && <p>{report === null ? "No canary has compared them." : canaryText(report)}</p>}
      </div>
    ),
    call: `PUT /v1/plugins/${encodeURIComponent(name)}/component`,
    run: async () => {
      const installed = await uploadComponent(name, file, tag);
      onInstalled();
      return `${name} runs generation ${short(installed.digest ?? "")}, version ${installed.version ?? "unknown"}.`;
    },
  });
}
