import { expect, test } from "vitest";
import shared from "../../../../guest-sdk/conformance/host-attributes.json";
import type { Schemas } from "../api/client";
import { curlOf, ingressOf, isHostAttribute, newId, publishable, scenarioOf } from "./event_copies";
import { quote } from "./shell";

/** The word that a POSIX shell reads. */
function unquote(word: string): string {
  let text = "";
  for (let at = 0; at < word.length; at += 1) {
    if (word[at] === "'") {
      const end = word.indexOf("'", at + 1);
      text += word.slice(at + 1, end);
      at = end;
    } else if (word[at] === "\\") {
      at += 1;
      text += word[at];
    } else {
      expect(word[at], word).toMatch(/[A-Za-z0-9_./:@%+=,-]/);
      text += word[at];
    }
  }
  return text;
}

const HOSTILE = [
  "it's",
  "'",
  "''",
  `'; rm -rf / #`,
  '"$(reboot)"',
  "`reboot`",
  "a\\",
  "\\'",
  "!history",
  "line\nbreak",
  "$HOME ~ * ? [a] {b} ; & | < > #",
  "ünï",
  "-n",
  "",
];

test("a shell reads every text back as it was", () => {
  for (const text of HOSTILE) {
    expect(unquote(quote(text))).toBe(text);
  }
});

const event = (members: object) =>
  ({ specversion: "1.0", id: "1", source: "/shop", type: "order.placed", ...members }) as Schemas["EventDocument"];

test("a command has the event in one quoted word", () => {
  for (const text of HOSTILE) {
    const command = curlOf(event({ subject: text, data: { text } }), "http://127.0.0.1:8080", false);
    const word = command.slice(command.indexOf("--data-binary ") + "--data-binary ".length);
    expect(JSON.parse(unquote(word))).toEqual(event({ subject: text, data: { text } }));
  }
  expect(curlOf(event({}), "http://h", true)).toContain('-H "authorization: Bearer $TOKEN"');
});

test("the copy of an event has no attribute that only the host sets", () => {
  for (const name of [...shared.names, ...shared.prefixes.map((prefix) => `${prefix}x`)]) {
    expect(isHostAttribute(name), name).toBe(true);
  }
  for (const name of shared.others) {
    expect(isHostAttribute(name), name).toBe(false);
  }
  const copy = publishable(event({ source: "/plugins/a", hops: "2", correlationid: "c", tenant: "eu" }), "new");
  expect(copy).toEqual(event({ id: "new", source: "/copy", tenant: "eu" }));
});

test("the address of the ingress is that of the configuration", () => {
  const of = (listen: unknown, more: { key: string; value: unknown }[] = []) =>
    ingressOf([{ key: "listen", value: listen }, ...more] as Schemas["SettingView"][], "bus.example");
  expect(of("127.0.0.1:8080")).toEqual({
    url: "http://127.0.0.1:8080",
    isUnknown: false,
    acceptsEvents: false,
    needsToken: false,
  });
  expect(of("0.0.0.0:80", [{ key: "ingress.tls", value: { certificate: "a" } }]).url).toBe("https://bus.example:80");
  expect(of("[::]:80").url).toBe("http://bus.example:80");
  expect(of("127.0.0.1:0").isUnknown).toBe(true);
  expect(of(undefined).isUnknown).toBe(true);
  const producers = [{ key: "ingress.events", value: [{ token_file: "a" }, { token_file: null }] }];
  expect(of("h:1", producers)).toMatchObject({ acceptsEvents: true, needsToken: false });
});

const context = { plugins: ["shop"], storedAt: "2030-01-01T00:00:00.000Z", outcome: "ack" };

test("a scenario is TOML, or JSON if TOML has no such value", () => {
  const toml = scenarioOf(event({ data: { "a b": [1, -2.5, true, "x\u007f\n"], e: {} }, hops: "1", tenant: "eu" }), context);
  expect(toml?.text).toBe(`plugin = "shop"

[[scenario]]
name = "order.placed with the id 1 is handled"
given.time = "2030-01-01T00:00:00.000Z"

[[scenario.step]]
event = "order.placed"
id = "1"
source = "/shop"
data = { "a b" = [1, -2.5, true, "x\\u007f\\n"], e = {} }
attributes = { tenant = "eu" }
then.outcome = "ack"
`);
  for (const data of [null, { a: null }, 9_223_372_036_854_775_808]) {
    const json = scenarioOf(event({ data }), { ...context, plugins: ["a", "b"] });
    expect(json?.format).toBe("JSON");
    expect(JSON.parse(json?.text ?? "")).toMatchObject({ plugins: ["a", "b"], scenario: [{ step: [{ id: "1" }] }] });
  }
  expect(scenarioOf(event({ data_base64: "AA==" }), context)).toBeNull();
});

test("new ids are UUIDs", () => {
  expect(newId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
