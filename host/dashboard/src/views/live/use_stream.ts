import { useEffect, useRef, useState } from "preact/hooks";
import { useShownCall } from "../../api/calls";
import { urlOf, type ApiError } from "../../api/client";
import { follow, type StreamState } from "../../api/stream";
import { belongsTo, LiveBuffer, type LiveCounts, type LiveRow, type Sampling } from "../../model/live";

/** How often the view is drawn, in milliseconds. Messages do not wait for it. */
const DRAW = 200;

/** What the view shows of the stream. */
export interface Picture {
  rows: LiveRow[];
  counts: LiveCounts;
  received: number;
  sampling: Sampling;
}

/** The stream, and what has come. */
export interface Stream {
  picture: Picture;
  state: StreamState;
  error: ApiError | undefined;
}

/** Which messages to follow. */
export type StreamQuery = { plugin?: string; subscription?: string; type?: string; failed?: boolean };

function pictureOf(buffer: LiveBuffer): Picture {
  return {
    rows: buffer.rows(),
    counts: { ...buffer.counts },
    received: buffer.received,
    sampling: buffer.sampling(performance.now()),
  };
}

/** What is followed: everything, or one cause tree. */
interface Followed {
  all: LiveBuffer;
  tree: { correlation: string; buffer: LiveBuffer } | null;
}

function shownOf({ all, tree }: Followed): LiveBuffer {
  return tree?.buffer ?? all;
}

/**
 * Follows the stream. With a correlation id, only messages of this cause tree are shown, also those that have come before.
 * The others are kept, for when the reader follows everything again.
 */
export function useStream(query: StreamQuery, correlation: string | undefined): Stream {
  const url = urlOf("/v1/stream", { params: { query } });
  useShownCall(`GET ${url}`);
  const followed = useRef<Followed>({ all: new LiveBuffer(), tree: null });
  const [picture, setPicture] = useState(() => pictureOf(shownOf(followed.current)));
  const [connection, setConnection] = useState<{ state: StreamState; error?: ApiError }>({ state: "connecting" });
  useEffect(() => {
    const { tree } = followed.current;
    const restarted = tree && { ...tree, buffer: new LiveBuffer() };
    const current: Followed = { all: new LiveBuffer(), tree: restarted };
    followed.current = current;
    setPicture(pictureOf(shownOf(current)));
    return follow(query, {
      message: (message) => {
        const now = performance.now();
        current.all.add(message, now);
        if (current.tree !== null && belongsTo(message, current.tree.correlation)) {
          current.tree.buffer.add(message, now);
        }
      },
      state: (state, error) => setConnection({ state, error }),
    });
    // The query is compared by its text.
  }, [url]);
  useEffect(() => {
    const { all } = followed.current;
    followed.current.tree = correlation === undefined ? null : { correlation, buffer: all.of(correlation) };
    setPicture(pictureOf(shownOf(followed.current)));
  }, [correlation]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden) {
        return;
      }
      setPicture((shown) => {
        const next = pictureOf(shownOf(followed.current));
        const isSame = shown.received === next.received && shown.sampling.rate === next.sampling.rate;
        return isSame ? shown : next;
      });
    }, DRAW);
    return () => clearInterval(timer);
  }, []);
  return { picture, ...connection, error: connection.error };
}
