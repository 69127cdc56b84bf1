import useSWR from "swr";
import { useShownCall } from "../../api/calls";
import type { ApiError } from "../../api/client";
import { logInIfRejected } from "../../api/use";
import { Facts, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Time } from "../../components/time";
import { count, counted } from "../../model/format";
import { keepRedrive, lastRedrive, readFate, type Fate, type Redrive } from "../../model/redrives";

/** How often the fate of a redrive is read while some of its deliveries are open, in milliseconds. */
const REFRESH_FATE = 3_000;

function isSettled(fate: Fate | undefined): boolean {
  return fate !== undefined && fate.open === 0 && fate.retrying === 0;
}

function Fates({ redrive }: { redrive: Redrive }) {
  const { from, until, redriven, subscriptions } = redrive;
  useShownCall(`GET /v1/attempts?subscription=${encodeURIComponent(subscriptions[0] ?? "")}&since=${from}`);
  const { data, error } = useSWR<Fate, ApiError>(["redrive", from, until], () => readFate(redrive), {
    refreshInterval: (fate) => (isSettled(fate) ? 0 : REFRESH_FATE),
    onError: logInIfRejected,
  });
  return (
    <>
      {error !== undefined && <Problem error={error} />}
      <Facts
        rows={[
          ["At", <Time at={until} />],
          ["Redriven", `${counted(redriven, "dead letter")} of ${counted(subscriptions.length, "subscription")}`],
          ["Handled", data && count(data.handled)],
          ["Dead letters again", data && count(data.dead)],
          ["Failed, waiting for a retry", data && count(data.retrying)],
          ["No recorded attempt yet", data && count(data.open)],
        ]}
      />
      {data?.isPartial === true && (
        <p class="muted">
          Only the newest 10,000 attempts of each of the first 20 subscriptions were read, so the figures may be too
          low.
        </p>
      )}
    </>
  );
}

/** The result of the last redrive of this browser, if there was one. */
export function LastRedrive() {
  const redrive = lastRedrive.value;
  if (redrive === null) {
    return null;
  }
  return (
    <Section
      title="Last redrive"
      actions={
        <button type="button" class="quiet" onClick={() => keepRedrive(null)}>
          Hide the result
        </button>
      }
    >
      <Fates redrive={redrive} />
    </Section>
  );
}
