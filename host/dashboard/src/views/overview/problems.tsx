import { Link } from "wouter-preact";
import { Badge } from "../../components/badge";
import { Section } from "../../components/page";
import { Problem as Failure } from "../../components/problem";
import { counted } from "../../model/format";
import { problemsOf, type Problem } from "../../model/overview_problems";
import { utc, withTimes } from "../../model/time";
import type { Health } from "./use_facts";

/** How many problems are shown before the reader asks for more. */
const SHOWN = 12;

/** What needs the reader's attention, or that nothing does. */
export function Problems({ health }: { health: Health }) {
  const problems = problemsOf(health.facts);
  return (
    <Section title={problems.length === 0 ? "Problems" : counted(problems.length, "problem")}>
      {health.errors.slice(0, 1).map((error) => (
        <Failure key={error.code} error={error} />
      ))}
      {problems.length === 0 ? (
        <p class={health.isComplete && health.errors.length === 0 ? "overview-fine" : "muted"} role="status">
          {noneText(health)}
        </p>
      ) : (
        <List problems={problems} />
      )}
      {health.truncated.map((list) => (
        <p key={list} class="muted">
          Only the first 1,000 {list} are checked.
        </p>
      ))}
    </Section>
  );
}

function noneText({ isComplete, errors }: Health): string {
  if (errors.length > 0) {
    return "The host cannot be checked completely.";
  }
  return isComplete ? "No problems" : "Loading…";
}

function List({ problems }: { problems: Problem[] }) {
  const [first, rest] = [problems.slice(0, SHOWN), problems.slice(SHOWN)];
  const item = (problem: Problem) => <Item key={problem.id} problem={problem} />;
  return (
    <div class="overview-problems">
      <ul>{first.map(item)}</ul>
      {rest.length > 0 && (
        <details>
          <summary>{counted(rest.length, "more problem")}</summary>
          <ul>{rest.map(item)}</ul>
        </details>
      )}
    </div>
  );
}

function Item({ problem }: { problem: Problem }) {
  const title = withTimes(problem.title, utc.value);
  return (
    <li class={`overview-problem overview-problem-${problem.severity}`}>
      <Badge tone={problem.severity}>{problem.severity === "bad" ? "Error" : "Warning"}</Badge>
      <div>
        <p class="overview-problem-title">{title}</p>
        {problem.detail !== undefined && <p class="muted overview-problem-detail">{problem.detail}</p>}
      </div>
      <Link href={problem.href} class="button" aria-label={`${problem.action}: ${title}`}>
        {problem.action}
      </Link>
    </li>
  );
}
