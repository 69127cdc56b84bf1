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

/** Follows the stream. With a correlation id, only messages of this cause tree count. */
export function useStream(query: StreamQuery, correlation: string | undefined): Stream {
  const url = urlOf("/v1/stream", { params: { query } });
  useShownCall(`GET ${url}`);
  const buffer = useRef(new LiveBuffer());
  const [picture, setPicture] = useState(() => pictureOf(buffer.current));
  const [connection, setConnection] = useState<{ state: StreamState; error?: ApiError }>({ state: "connecting" });
  useEffect(() => {
    const current = new LiveBuffer();
    buffer.current = current;
    setPicture(pictureOf(current));
    return follow(query, {
      message: (message) => {
        if (correlation === undefined || belongsTo(message, correlation)) {
          current.add(message, performance.now());
        }
      },
      state: (state, error) => setConnection({ state, error }),
    });
    // The query is compared by its text.
  }, [url, correlation]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden) {
        return;
      }
      setPicture((shown) => {
        const next = pictureOf(buffer.current);
        const isSame = shown.received === next.received && shown.sampling.rate === next.sampling.rate;
        return isSame ? shown : next;
      });
    }, DRAW);
    return () => clearInterval(timer);
  }, []);
  return { picture, ...connection, error: connection.error };
}
