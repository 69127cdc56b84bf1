import { eventually, type Schemas } from "../src/host";
import { expect, test } from "../src/test";
import { analyzed } from "../src/axe";
import { logIn, open } from "../src/views";

const SCENARIOS = `
[[scenario]]
name = "an entry is kept"
[[scenario.step]]
event = "keyed.entry"
subject = "from-a-scenario"
data = { account = "a", number = 7 }
[[scenario.step]]
request = "PUT /keeper/answer"
headers = { x-note = "<b>bold</b>" }
body = '"forty-two"'
`;

test("the form begins with an event of a scenario, and publishes it", async ({ page, start }) => {
  const host = await start({ plugins: ["keyed"], scenarios: { "keyed.toml": SCENARIOS, "typo.toml": "[[scenario]]\nnames = 1\n" } });
  await open(page, host, "/publish");
  const samples = await host.api<Schemas["SampleList"]>("/samples");
  const choice = page.getByLabel("Begin with an event of a scenario");
  await expect(choice.locator("option")).toHaveText(["Choose a step", "keyed.entry, step 1 of “an entry is kept”"]);
  await expect(choice.locator("optgroup")).toHaveAttribute("label", samples.samples[0]?.file ?? "");
  await expect(page.getByText("1 scenario cannot be used as a sample:")).toBeVisible();
  await expect(page.getByRole("main")).toContainText(samples.faults[0]?.file ?? "no fault");
  await choice.selectOption({ index: 1 });
  await expect(page.getByLabel("Type", { exact: true })).toHaveValue("keyed.entry");
  await expect(page.getByLabel("Subject (optional)")).toHaveValue("from-a-scenario");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.getByRole("dialog", { name: "Publish" }).getByRole("button", { name: "Publish" }).click();
  await expect(page.getByText(/^Published /)).toBeVisible();
  const { events } = await host.api<Schemas["EventPage"]>("/events?type=keyed.entry");
  expect(events.map(({ event }) => [event.subject, event.data])).toEqual([["from-a-scenario", { account: "a", number: 7 }]]);
  expect(await analyzed(page)).toEqual([]);
});

test("a route is called: the effect is stated, the response is shown as text, and its cause tree is one click away", async ({ page, start }) => {
  const host = await start({ plugins: ["keeper", "echo"] });
  await open(page, host, "/publish");
  await page.getByRole("button", { name: "Fill the form with POST /echo/{word}" }).click();
  const form = page.getByRole("form", { name: "Request" });
  await expect(form.getByLabel("Path, with its query")).toBeFocused();
  // A parameter must be replaced first.
  await form.getByRole("button", { name: "Send request" }).click();
  await expect(form.getByText("Replace the parameters in braces.")).toBeVisible();
  await form.getByLabel("Path, with its query").fill("/echo/hi?a=b");
  await form.getByLabel("Headers, one NAME: VALUE per line").fill("user-agent: me");
  await form.getByLabel("Body").fill("<img src=x onerror=alert(1)>");
  await form.getByRole("button", { name: "Send request" }).click();
  const dialog = page.getByRole("dialog", { name: "Send request" });
  await expect(dialog).toContainText("Sends POST /echo/hi to the route POST /echo/{word} of echo.");
  await expect(dialog).toContainText("POST /v1/requests?method=POST&path=%2Fecho%2Fhi%3Fa%3Db");
  expect((await host.api<Schemas["RecordedRequestPage"]>("/requests")).requests, "nothing is sent yet").toEqual([]);
  await dialog.getByRole("button", { name: "Send request" }).click();

  const response = page.getByRole("region", { name: "Response" });
  await expect(response.locator("dt", { hasText: "Status" }).locator("+ dd")).toHaveText("200");
  await expect(response.getByLabel("Payload", { exact: true })).toContainText('"agent":"me"');
  await expect(response.getByLabel("Payload", { exact: true })).toContainText("<img src=x onerror=alert(1)>");
  await expect(response.locator("img")).toHaveCount(0);
  const recorded = await eventually("the request is recorded", async () => {
    const { requests } = await host.api<Schemas["RecordedRequestPage"]>("/requests");
    return requests[0];
  });
  await expect(response.locator("dt", { hasText: "Request" }).locator("+ dd")).toHaveText(recorded.id);
  await expect(response.getByRole("group", { name: "Headers of the response" })).toContainText("x-request-id");
  expect(await analyzed(page)).toEqual([]);
  await response.getByRole("link", { name: "Show its cause tree" }).click();
  await expect(page.getByRole("main")).toContainText("POST /echo/hi by echo");
});

test("a request of a scenario is sent, on a phone too", async ({ page, start }) => {
  const host = await start({ plugins: ["keeper"], scenarios: { "keeper.toml": SCENARIOS } });
  await page.setViewportSize({ width: 390, height: 844 });
  await open(page, host, "/publish");
  await page.getByLabel("Begin with a request of a scenario").selectOption({ index: 1 });
  await expect(page.getByLabel("Headers, one NAME: VALUE per line")).toHaveValue("x-note: <b>bold</b>");
  await page.getByRole("button", { name: "Send request" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Send request" }).click();
  await expect(page.getByRole("region", { name: "Response" })).toContainText("204");
  await expect(page.getByRole("region", { name: "Response" })).toContainText("The body is empty.");
  const { values } = (await (await host.request("GET", "/keeper")).json()) as { values: Record<string, unknown> };
  expect(values.answer).toBe("forty-two");
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  expect(await analyzed(page)).toEqual([]);
});

test.describe("with tokens", () => {
  test.use({ expected: [/401 \(Unauthorized\)/] });

  test("only a role that may publish may call routes, and an audit entry names the route", async ({ page, start }) => {
    const host = await start({ plugins: ["keeper"], config: "[access]\nrequire_tokens = true\n" });
    host.useNewToken("admin");
    await logIn(page, host, await host.newToken("view"), "/publish");
    await expect(page.getByRole("button", { name: "Copy as curl" }).first()).toBeVisible();
    await expect(page.getByRole("button", { name: "Send request" })).toHaveCount(0);
    await page.context().clearCookies();
    await logIn(page, host, await host.newToken("operate"), "/publish");
    await page.getByLabel("Path, with its query").fill("/keeper");
    await page.getByRole("button", { name: "Send request" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Send request" }).click();
    await expect(page.getByRole("region", { name: "Response" })).toContainText("200");
    const { entries } = await host.api<Schemas["AuditLogPage"]>("/audit");
    const sent = entries.filter(({ operation }) => operation === "send_request");
    expect(sent.map(({ outcome, request }) => [outcome, request])).toEqual([
      ["ended", "POST /v1/requests?method=GET&path=%2Fkeeper"],
      ["begun", "POST /v1/requests?method=GET&path=%2Fkeeper"],
    ]);
  });
});
