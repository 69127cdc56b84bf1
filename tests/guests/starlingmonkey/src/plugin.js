// Uses web APIs that QuickJS lacks, and the host functions behind them.

import { log, now, plugin, state } from "@sandbus/sdk";

export default plugin()
  .on("address.seen", ({ url }) => {
    const { hostname, searchParams } = new URL(url);
    log.info(`${hostname} is asked for ${searchParams.get("q")}`);
    log.info(`${state.increment(hostname) + 1} is one more`);
  })
  .route("GET /platform", (request) => ({
    json: {
      seen: state.get("example.com"),
      latin1: new TextDecoder("latin1").decode(Uint8Array.of(0xe9)),
      uuid: crypto.randomUUID(),
      chance: Math.random(),
      elapsed: performance.now(),
      cookies: request.headerValues("cookie"),
      now: now().getTime(),
      apart: Math.abs(now().getTime() - Date.now()),
      copied: structuredClone(new Map([["a", 1]])).get("a"),
    },
  }));
