import { Link } from "wouter-preact";
import { causePath, eventPath, followPath } from "../../model/event_paths";

/** An event that the host has accepted. */
export interface Published {
  id: string;
  source: string;
  /** Whether the log had it already. */
  duplicate: boolean;
  isDelayed: boolean;
}

/** What became of a published event. */
export function Result({ published: { id, source, duplicate, isDelayed } }: { published: Published }) {
  return (
    <div class="card">
      <p>
        {duplicate ? (
          <>The log already has an event with this source and id, so nothing was stored: </>
        ) : isDelayed ? (
          <>Accepted. The event enters the log later: </>
        ) : (
          <>Published: </>
        )}
        <code>{id}</code>
      </p>
      <p class="actions">
        {isDelayed ? (
          <Link href="/schedules">Show delayed events</Link>
        ) : (
          <>
            <Link href={eventPath(id, source)}>Show the event</Link>
            <Link href={causePath(id, source)}>Show its cause tree</Link>
            <Link href={followPath(id)}>Follow it live</Link>
          </>
        )}
      </p>
    </div>
  );
}
