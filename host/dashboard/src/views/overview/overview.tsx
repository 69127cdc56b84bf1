import { useState } from "preact/hooks";
import { Page } from "../../components/page";
import { Charts } from "./charts";
import { FirstPlugin } from "./first_plugin";
import { LastMinute } from "./last_minute";
import "./overview.css";
import { Problems } from "./problems";
import { useFacts } from "./use_facts";

/** The state of the host: its problems first, then what it does. */
export default function Overview() {
  const health = useFacts();
  const { plugins, folderError } = health.facts;
  const [isUploading, setUploading] = useState(false);
  const hasNone = plugins !== undefined && !folderError && plugins.every((plugin) => plugin.status === "ignored");
  // Another plugin may appear while the reader is about to upload the first one.
  const isEmpty = hasNone || isUploading;
  return (
    <Page title={isEmpty ? "Welcome to Sandbus" : "Overview"}>
      {isEmpty && <FirstPlugin onChoice={setUploading} />}
      {(!isEmpty || (plugins ?? []).length > 0) && <Problems health={health} />}
      {!isEmpty && plugins !== undefined && (
        <>
          <Charts health={health} />
          <LastMinute statistics={health.facts.statistics} />
        </>
      )}
    </Page>
  );
}
