import { request } from "node:http";
import { expect, test } from "../src/test";
import { LISTS, settled } from "../src/views";

/** Sends a request with headers that `fetch` does not let one choose. */
function get(url: string, headers: Record<string, string>): Promise<{ status: number; headers: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    request(url, { headers }, (response) => {
      response.resume();
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
    })
      .on("error", reject)
      .end();
  });
}

test("pages come with headers that keep other sites out", async ({ start }) => {
  const host = await start();
  for (const { path } of LISTS) {
    const { status, headers } = await get(host.admin + path, { accept: "text/html" });
    expect(status, path).toBe(200);
    expect(headers["content-type"], path).toMatch(/^text\/html/);
    expect(headers["x-content-type-options"], path).toBe("nosniff");
    const policy = String(headers["content-security-policy"]);
    const rules = new Map(policy.split(";").map((rule) => [rule.trim().split(" ")[0], rule.trim()]));
    expect(rules.get("default-src"), policy).toBe("default-src 'none'");
    expect(rules.get("frame-ancestors"), policy).toBe("frame-ancestors 'none'");
    expect(rules.get("script-src"), policy).toBe("script-src 'self'");
    expect(rules.get("connect-src"), policy).toBe("connect-src 'self'");
    expect(rules.get("base-uri"), policy).toBe("base-uri 'none'");
    expect(policy).not.toMatch(/unsafe-eval|https?:|\*/);
  }
});

test("a request with the name of another site is refused", async ({ start }) => {
  const host = await start();
  const port = new URL(host.admin).port;
  for (const name of ["sandbus.example", `sandbus.example:${port}`, `localhost.example.com:${port}`]) {
    const { status } = await get(`${host.admin}/`, { host: name });
    expect(status, name).toBe(403);
  }
  const { status } = await get(`${host.admin}/`, { host: `localhost:${port}` });
  expect(status).toBe(200);
});

test("another site cannot frame the dashboard", async ({ page, start, expected }) => {
  expected.push(/frame-ancestors|Refused to frame|Framing/);
  const host = await start();
  await page.route("http://elsewhere.test/", (route) =>
    route.fulfill({ contentType: "text/html", body: `<iframe title="framed" src="${host.admin}/"></iframe>` }),
  );
  await page.goto("http://elsewhere.test/");
  const frame = page.frameLocator("iframe");
  await expect(frame.getByRole("navigation")).toHaveCount(0);
  await expect.poll(() => page.frames().some((frame) => frame.url().startsWith(host.admin))).toBe(false);
});

test("the first view transfers at most 150 kB", async ({ page, start }) => {
  const host = await start({ plugins: ["registration", "registration-handler"] });
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  const assets = new Map<string, string>();
  let transferred = 0;
  session.on("Network.responseReceived", ({ requestId, response }) => assets.set(requestId, response.url));
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (assets.get(requestId)?.startsWith(host.admin) === true) {
      transferred += encodedDataLength;
    }
  });
  await page.goto(`${host.admin}/`, { waitUntil: "networkidle" });
  await settled(page);
  console.log(`the first view transfers ${(transferred / 1_000).toFixed(1)} kB in ${assets.size} responses`);
  expect(transferred).toBeGreaterThan(10_000);
  expect(transferred).toBeLessThanOrEqual(150_000);
});

test("assets are compressed, and may be cached for as long as their name is the same", async ({ start }) => {
  const host = await start();
  const html = await (await fetch(`${host.admin}/`)).text();
  const script = /src="(\/assets\/[^"]+\.js)"/.exec(html)?.[1];
  expect(script).toBeDefined();
  const { status, headers } = await get(`${host.admin}${script}`, { "accept-encoding": "gzip" });
  expect(status).toBe(200);
  expect(headers["content-encoding"]).toBe("gzip");
  expect(headers["content-type"]).toMatch(/javascript/);
  expect(headers["cache-control"]).toMatch(/immutable/);
  const page = await get(`${host.admin}/`, {});
  expect(page.headers["cache-control"]).not.toMatch(/immutable/);
});

test("a path that is neither a page nor an asset is not found", async ({ start }) => {
  const host = await start();
  for (const path of ["/assets/absent.js", "/v1/absent"]) {
    expect((await fetch(host.admin + path)).status, path).toBe(404);
  }
});
