import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { capabilitiesOf, changedLines, losslessJson, nameOfFile, stoppedText, uploadText } from "./plugin_texts";

function plugin(parts: Partial<Schemas["PluginView"]>): Schemas["PluginView"] {
  return { digest: "sha256:0123456789abcdef", routes: [], subscriptions: [], withheld: [], asks_for: null, granted: null, cors: [], ...parts } as unknown as Schemas["PluginView"];
}

test("the name of a plugin is that of its file", () => {
  expect(["mailer.wasm", "C:\\x\\mailer.WASM", "dist/mailer.wasm", "mailer"].map(nameOfFile)).toEqual(Array(4).fill("mailer"));
});

test("effects have figures", () => {
  const subscriptions = [{ backlog: 1_200, replay: null }, { backlog: 4, replay: null }, { backlog: 9, replay: {} }];
  const text = stoppedText(plugin({ routes: ["GET /a"] }), subscriptions as Schemas["SubscriptionView"][]);
  expect(text).toBe("Its 1 route will answer 503. Deliveries of its 2 subscriptions stop. 1,204 deliveries in the backlog will wait.");
  expect(uploadText("mailer", 2_048, undefined)).toBe("Adds the plugin mailer with this build (2 KiB).");
  expect(uploadText("mailer", 2_048, plugin({}))).toContain("Replaces the generation 0123456789ab of mailer");
  expect(uploadText("mailer", 2_048, plugin({ digest: null }))).toContain("which does not run");
});

test("withheld capabilities come first, and unrequested ones are marked", () => {
  const capabilities = capabilitiesOf(
    plugin({
      asks_for: { publish: ["a.b", "c.d"], subscribe: ["e.>"] },
      granted: { publish: ["a.*", "c.d"], subscribe: [], http: ["api.example"], networks: [], webhooks: [] },
      withheld: ["subscribe e.>"],
    }),
  );
  expect(capabilities.map(({ kind, pattern, isRequested, isGranted }) => [kind, pattern, isRequested, isGranted])).toEqual([
    ["subscribe", "e.>", true, false],
    ["publish", "a.b", true, true],
    ["publish", "c.d", true, true],
    ["publish", "a.*", false, true],
    ["http", "api.example", false, true],
  ]);
});

test("changed lines are counted", () => {
  expect(changedLines("a\nb\nb", "a\nb\nc\nd")).toEqual({ added: 2, removed: 1 });
  expect(changedLines("", "a\n")).toEqual({ added: 1, removed: 0 });
  expect(changedLines("a\n", "a\nb")).toEqual({ added: 1, removed: 0 });
  expect(changedLines("a\nb", "b\na")).toEqual({ added: 0, removed: 0 });
});

test("JSON that would lose something stays a text", () => {
  expect(losslessJson('{"a":[1]}')).toEqual({ a: [1] });
  for (const text of ['{"a": 1}', "12345678901234567890", "1.0", "hello", '{"a":1,"a":2}']) {
    expect(losslessJson(text)).toBe(text);
  }
});
