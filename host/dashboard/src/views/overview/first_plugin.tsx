import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { useGet } from "../../api/use";
import { Copy } from "../../components/copy";
import { quote } from "../../model/shell";
import { Upload } from "../plugins/upload";

const CREATE = "sandbus new greeter --lang js --on user.registered\nsandbus build greeter";

/** The command that publishes the first event, to the host that shows this page. */
function publishCommand(): string {
  const isDefault = location.origin === "http://127.0.0.1:8081" || location.origin === "http://localhost:8081";
  const admin = isDefault ? "" : ` --admin ${quote(location.origin)}`;
  return `sandbus publish${admin} user.registered '{"name":"Ada"}'`;
}

/** Leads from an empty host to the first plugin that runs. `onChoice` says whether a file is chosen and not uploaded yet. */
export function FirstPlugin({ onChoice }: { onChoice: (isChosen: boolean) => void }) {
  const configuration = useGet("/v1/configuration", undefined, { refresh: 0 });
  const folder = configuration.data?.settings.find((setting) => setting.key === "plugins")?.value;
  return (
    <>
      <p>The host runs and has no plugin yet. Three steps lead to the first one.</p>
      <ol class="overview-steps">
        <li class="card stack">
          <h2>Create a plugin</h2>
          <Command text={CREATE} />
          <p class="muted">
            The build is <code>greeter/dist/greeter.wasm</code>. <code>--lang</code> is <code>rust</code>, <code>js</code>
            , <code>ts</code> or <code>python</code>.
          </p>
        </li>
        <li class="card stack">
          <h2>Install it</h2>
          <p>
            Copy the <code>.wasm</code> file into the plugin folder
            {typeof folder === "string" && (
              <>
                , <code>{folder}</code>
              </>
            )}
            {may("upload_plugin") ? ", or upload it here:" : "."}
          </p>
          {may("upload_plugin") && <Upload onChoice={onChoice} />}
        </li>
        <li class="card stack">
          <h2>Send it an event</h2>
          <Command text={publishCommand()} />
          <p class="muted">
            {may("publish_events") && (
              <>
                Or <Link href="/publish">publish an event here</Link>, or call one of its routes.{" "}
              </>
            )}
            <Link href="/live">Live</Link> shows how the plugin handles it.
          </p>
        </li>
      </ol>
    </>
  );
}

function Command({ text }: { text: string }) {
  return (
    <div>
      <pre class="code" tabIndex={0} aria-label="Command">
        {text}
      </pre>
      <Copy text={text} />
    </div>
  );
}
