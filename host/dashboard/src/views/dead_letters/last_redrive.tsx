import useSWR from "swr";
import { useShownCall } from "../../api/calls";
import type { ApiError } from "../../api/client";
import { logInIfRejected } from "../../api/use";
import { Facts, Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Time } from "../../components/time";
import { count, counted } from "../../model/format";
import { keepRedrive, lastRedrive, readOutcome, type RedriveOutcome, type Redrive } from "../../model/redrives";

/** How often the outcome of a redrive is read while some of its deliveries are pending, in milliseconds. */
const REFRESH_OUTCOME = 3_000;

function isSettled(outcome: RedriveOutcome | undefined): boolean {
  return outcome !== undefined && outcome.pending === 0 && outcome.retrying === 0;
}

function Outcomes({ redrive }: { redrive: Redrive }) {
  const { from, until, redriven, subscriptions } = redrive;
  useShownCall(`GET /v1/attempts?subscription=${encodeURIComponent(subscriptions[0] ?? "")}&since=${from}`);
  const { data, error } = useSWR<RedriveOutcome, ApiError>(["redrive", from, until], () => readOutcome(redrive), {
    refreshInterval: (outcome) => (isSettled(outcome) ? 0 : REFRESH_OUTCOME),
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
          ["No recorded attempt yet", data && count(data.pending)],
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

/** The result of the last redrive of this browser, if there was one and it concerns the subscription that the page is about. */
export function LastRedrive({ subscription }: { subscription?: string }) {
  const redrive = lastRedrive.value;
  if (redrive === null || (subscription !== undefined && !redrive.subscriptions.includes(subscription))) {
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
      <Outcomes redrive={redrive} />
    </Section>
  );
}
