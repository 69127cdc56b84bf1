import type { Schemas } from "../api/client";
import { Badge, toneOf } from "./badge";

/** What followed an attempt. */
export function AttemptOutcome({ attempt }: { attempt: Pick<Schemas["RecordedAttemptView"], "verdict" | "cause"> }) {
  return (
    <Badge tone={toneOf(attempt.verdict)}>
      {attempt.verdict}
      {attempt.cause !== null && attempt.verdict !== "handled" && `: ${attempt.cause}`}
    </Badge>
  );
}

/** The status of a response. */
export function RequestOutcome({ request }: { request: Pick<Schemas["RecordedRequestView"], "status"> }) {
  const { status } = request;
  return <Badge tone={status >= 500 ? "bad" : status >= 400 ? "warn" : "good"}>{status}</Badge>;
}
