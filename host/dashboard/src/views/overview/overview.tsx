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
  const isEmpty = plugins !== undefined && !folderError && plugins.every((plugin) => plugin.status === "ignored");
  return (
    <Page title={isEmpty ? "Welcome to Sandbus" : "Overview"}>
      {isEmpty && <FirstPlugin />}
      {(!isEmpty || plugins.length > 0) && <Problems health={health} />}
      {!isEmpty && plugins !== undefined && (
        <>
          <Charts health={health} />
          <LastMinute statistics={health.facts.statistics} />
        </>
      )}
    </Page>
  );
}
