/** A TCP proxy whose connections a test can cut. */

import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** A running proxy. */
export interface CuttableProxy {
  /** The URL that leads to the host. */
  url: string;
  /** Cuts all connections, and refuses others until `mend`. */
  cut: () => void;
  /** Accepts connections again. */
  mend: () => void;
  /** The number of connections so far that asked for the path. */
  requestsFor: (path: string) => number;
  close: () => Promise<void>;
}

/** Starts a proxy to a URL. */
export async function cuttableProxy(to: string): Promise<CuttableProxy> {
  const port = Number(new URL(to).port);
  const open = new Set<Socket>();
  const heads: string[] = [];
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => open.delete(socket));
    }
    near.on("data", (chunk: Buffer) => heads.push(chunk.toString("latin1").split("\r\n", 1)[0] ?? ""));
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: own } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${own}`,
    cut: () => {
      isCut = true;
      open.forEach((socket) => socket.resetAndDestroy());
    },
    mend: () => {
      isCut = false;
    },
    requestsFor: (path) => heads.filter((head) => head.includes(` ${path}`)).length,
    close: () =>
      new Promise((resolve) => {
        open.forEach((socket) => socket.destroy());
        server.close(() => resolve());
      }),
  };
}
