import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { Empty } from "../../components/page";
import type { Facts } from "../../model/overview_problems";

/** Shown instead of charts of a time in which nothing happened: how to make something happen. */
export function Idle({ facts }: { facts: Facts }) {
  const plugins = facts.plugins ?? [];
  const route = plugins.flatMap((plugin) => plugin.routes)[0];
  const pattern = plugins.flatMap((plugin) => plugin.subscriptions.map((subscription) => subscription.pattern))[0];
  return (
    <Empty title="Nothing has happened in this time.">
      <ul>
        {route !== undefined && (
          <li>
            Call a route, such as <code>{route}</code>.
          </li>
        )}
        {pattern !== undefined && (
          <li>
            Publish an event that a plugin subscribes to, such as <code>{pattern}</code>:{" "}
            <code>sandbus publish TYPE DATA</code>
            {may("publish_events") && (
              <>
                , or <Link href="/publish">publish it here</Link>
              </>
            )}
            .
          </li>
        )}
        <li>
          Minutes are shown when they have ended. <Link href="/live">Live</Link> shows each attempt at once.
        </li>
      </ul>
    </Empty>
  );
}
