import type { Page } from "@playwright/test";
import { bytes, count, counted, micros, seconds, short } from "../../../host/dashboard/src/model/format";
import { Host, type Schemas } from "../src/host";
import { Answers, factsOf, rowsOf } from "../src/read";
import { expect, test } from "../src/test";
import { GUESTS, open, populate } from "../src/views";

/** Waits until the page shows what it has read from the API. */
async function shows(check: () => Promise<void>): Promise<void> {
  await expect(check).toPass({ intervals: [50, 100, 200], timeout: 10_000 });
}

const table = (page: Page, name: string | RegExp) => page.getByRole("table", { name });
const section = (page: Page, name: string | RegExp) => page.getByRole("region", { name });
const optional = <Value>(value: Value | null, text: (value: Value) => string) => (value === null ? "–" : text(value));

test.describe("each figure is that of the API", () => {
  let host: Host;
  test.beforeAll(async () => {
    host = await Host.start({ plugins: GUESTS });
    await populate(host);
  });
  test.afterAll(() => host.stop());

  test("in the overview", async ({ page }) => {
    const answers = new Answers(page);
    await open(page, host, "/");
    await shows(async () => {
      const { subjects } = answers.of<Schemas["StatisticsView"]>("/v1/statistics");
      const rows = await rowsOf(table(page, /^Last minute/));
      expect(rows).toEqual(
        subjects.map((subject) => {
          const isIdle = subject.succeeded + subject.retried + subject.failed === 0;
          const isUnmeasured = subject.latency.max_us === 0;
          return {
            Subject: subject.subscription ?? `${subject.plugin} routes`,
            Succeeded: count(subject.succeeded),
            Retried: count(subject.retried),
            Failed: count(subject.failed),
            "Run p95": isIdle ? "–" : micros(subject.run.p95_us),
            "Wait p95": isUnmeasured ? "–" : micros(subject.wait.p95_us),
            "Total p95": isUnmeasured ? "–" : micros(subject.latency.p95_us),
            Memory: bytes(subject.memory_bytes),
            "In flight": optional(subject.in_flight, count),
            Backlog: optional(subject.backlog, count),
            Lag: optional(subject.lag_seconds, seconds),
          };
        }),
      );
      expect(subjects.some(({ succeeded }) => succeeded > 0)).toBe(true);
    });
    await shows(async () => {
      const { groups } = answers.of<Schemas["DeadLetterGroupPage"]>("/v1/dead-letters/groups");
      const titles = await section(page, /problems?$/).getByRole("listitem").locator("p:first-child").allInnerTexts();
      for (const { count: letters, subscription, cause } of groups) {
        expect(titles).toContain(`${counted(letters, "dead letter")} of ${subscription} (${cause})`);
      }
      const { subjects } = answers.of<Schemas["StatisticsView"]>("/v1/statistics");
      for (const { subscription, plugin, retried, failed, succeeded } of subjects) {
        if (retried + failed > 0) {
          const of = counted(succeeded + retried + failed, subscription === null ? "request" : "attempt");
          const subject = subscription ?? `${plugin} routes`;
          expect(titles).toContain(`${subject}: ${count(retried + failed)} of ${of} failed in the last minute`);
        }
      }
      expect(titles.some((title) => title.startsWith("keyed/parked: 1 ordering key is parked"))).toBe(true);
      await expect(section(page, counted(titles.length, "problem"))).toBeVisible();
    });
  });

  test("in the list of plugins, and on the page of one", async ({ page }) => {
    const answers = new Answers(page);
    await open(page, host, "/plugins");
    await shows(async () => {
      const { plugins } = answers.of<Schemas["PluginList"]>("/v1/plugins");
      const { subjects } = answers.of<Schemas["StatisticsView"]>("/v1/statistics");
      const failures = (name: string | null) =>
        subjects.filter(({ plugin }) => plugin === name).reduce((sum, { retried, failed }) => sum + retried + failed, 0);
      expect(await rowsOf(table(page, "Plugins"))).toEqual(
        plugins.map((plugin) => ({
          Plugin: plugin.name ?? plugin.file,
          Status: plugin.status,
          Version: plugin.version ?? "–",
          Generation: optional(plugin.digest, short),
          Routes: plugin.routes.join(", ") || "–",
          Subscriptions: count(plugin.subscriptions.length),
          Failures: count(failures(plugin.name)),
          Error: plugin.error ?? "–",
        })),
      );
      expect(plugins).toHaveLength(GUESTS.length);
    });

    await open(page, host, "/plugins/keyed");
    const plugin = await host.plugin("keyed");
    const facts = await factsOf(section(page, "Generation"));
    expect(facts).toMatchObject({
      Version: plugin.version,
      File: plugin.file,
      Timeout: plugin.limits?.timeout,
      "Memory limit": bytes(plugin.limits?.memory_bytes ?? 0),
      Concurrency: count(plugin.limits?.concurrency ?? 0),
    });
    expect(facts.Digest).toContain(plugin.digest);
    expect(await section(page, "Routes").locator("li code").allInnerTexts()).toEqual(plugin.routes);
    await shows(async () => {
      const { subscriptions } = answers.of<Schemas["SubscriptionList"]>("/v1/subscriptions");
      expect(await rowsOf(table(page, "Subscriptions of the plugin"))).toEqual(
        subscriptions.map((subscription) => ({
          Subscription: subscription.id,
          Pattern: subscription.pattern,
          Status: subscription.status,
          Backlog: count(subscription.backlog),
          Lag: optional(subscription.lag_seconds, seconds),
          "Dead letters": count(subscription.dead_letters),
          Declared: "yes",
        })),
      );
      expect(subscriptions).toHaveLength(2);
    });

    await open(page, host, "/plugins/keeper?tab=state");
    const { keys } = await host.api<Schemas["StateKeyPage"]>("/plugins/keeper/state");
    expect((await rowsOf(table(page, "Keys"))).map(({ Key }) => Key)).toEqual(keys);
    expect(keys).toContain("answer");
    await page.getByRole("button", { name: "answer" }).click();
    await expect(section(page, "Value of answer")).toContainText("forty-two");
  });

  test("in the list of subscriptions, and on the page of one", async ({ page }) => {
    const answers = new Answers(page);
    await open(page, host, "/subscriptions");
    await shows(async () => {
      const { subscriptions } = answers.of<Schemas["SubscriptionList"]>("/v1/subscriptions");
      const rows = await rowsOf(table(page, "Subscriptions and their replays"));
      expect(rows).toEqual(
        subscriptions.map((subscription) => ({
          Subscription: subscription.id,
          Pattern: subscription.pattern,
          Status: subscription.status,
          Backlog: count(subscription.backlog),
          Lag: optional(subscription.lag_seconds, seconds),
          "In flight": count(subscription.in_flight),
          "Dead letters": count(subscription.dead_letters),
          "Parked keys": count(subscription.parked_keys),
          Reason: expect.stringContaining(subscription.waits_for ?? ""),
        })),
      );
      await expect(section(page, counted(subscriptions.length, "subscription"))).toBeVisible();
    });

    for (const id of ["keyed/parked", "keeper/job"]) {
      await open(page, host, `/subscriptions/${id}`);
      await shows(async () => {
        const view = answers.of<Schemas["SubscriptionView"]>(`/v1/subscriptions/${id}`);
        expect(await factsOf(section(page, "Status"))).toMatchObject({
          Status: view.status,
          Backlog: count(view.backlog),
          Lag: view.lag_seconds === null ? "none" : seconds(view.lag_seconds),
          "In flight": count(view.in_flight),
          Committing: count(view.committing),
          "Dead letters": count(view.dead_letters),
          "Parked keys": count(view.parked_keys),
          Cursor: count(view.cursor),
        });
        expect(view.backlog).toBe(1);
      });
      const { retry, pattern, concurrency, timeout, dead_letter_policy } = await host.subscription(id);
      expect(await factsOf(section(page, "Rules"))).toMatchObject({
        Pattern: pattern,
        "Dead letter policy": dead_letter_policy,
        Concurrency: count(concurrency),
        Timeout: timeout,
        Attempts: count(retry.max_attempts),
        "Initial delay": retry.initial_delay,
        "Longest delay": retry.max_delay,
        "Factor between delays": String(retry.backoff_multiplier),
        "Random share": String(retry.jitter),
      });
    }
  });

  test("in the groups of dead letters, in a group, and in a dead letter", async ({ page }) => {
    const answers = new Answers(page);
    await open(page, host, "/dead-letters?status=all");
    const { groups } = await host.api<Schemas["DeadLetterGroupPage"]>("/dead-letters/groups");
    const rows = await rowsOf(table(page, "Groups of dead letters"));
    expect(rows.map(({ First, Last, Action, Status, ...rest }) => rest)).toEqual(
      groups.map((group) => ({
        Failure: group.signature,
        Subscription: group.subscription,
        Cause: group.cause,
        Count: count(group.count),
      })),
    );
    expect(groups.map(({ count: letters }) => letters).sort()).toEqual([1, 2]);

    const pills = groups.find(({ subscription }) => subscription === "poison/swallow");
    await open(page, host, `/dead-letters?group=${pills?.sample}`);
    const common = section(page, "In common");
    await expect(common.getByLabel("Signature of the failure")).toHaveText(pills?.signature ?? "");
    expect(await factsOf(common)).toMatchObject({
      "Dead letters": count(pills?.count ?? 0),
      Subscription: pills?.subscription,
      Cause: pills?.cause,
    });
    const letters = await host.api<Schemas["DeadLetterPage"]>(`/dead-letters?like=${pills?.sample}`);
    expect((await rowsOf(table(page, /^Dead letters of the group/))).map(({ Since, ...rest }) => rest)).toEqual(
      letters.dead_letters.map((letter) => ({
        Number: String(letter.number),
        "Event type": letter.logged.event.type,
        Event: letter.logged.event.id,
        Subject: letter.logged.event.subject ?? "",
        "Parks the key": letter.parks ?? "",
        Attempts: count(letter.attempts),
      })),
    );

    const [letter] = letters.dead_letters;
    await open(page, host, `/dead-letters/${letter?.number}`);
    expect(await factsOf(section(page, "Summary"))).toMatchObject({
      Subscription: letter?.subscription,
      Event: letter?.logged.event.id,
      Cause: letter?.cause,
      Attempts: count(letter?.attempts ?? 0),
      "Parks the ordering key": "none",
      Replay: "no",
    });
    expect(await factsOf(section(page, "Event"))).toMatchObject({ position: count(letter?.logged.position ?? 0) });
    await expect(section(page, "Attempts").getByRole("listitem")).toHaveCount(letter?.history.length ?? 0);
    expect(answers.of<Schemas["DeadLetterView"]>(`/v1/dead-letters/${letter?.number}`)).toEqual(letter);
  });

  test("in the list of events, and on the page of one", async ({ page }) => {
    await open(page, host, "/events");
    const { events } = await host.api<Schemas["EventPage"]>("/events?limit=500");
    expect((await rowsOf(table(page, "Events"))).map(({ Stored, "Cause tree": tree, ...rest }) => rest)).toEqual(
      events.map(({ position, event }) => ({
        Position: count(position),
        Type: event.type,
        Source: event.source,
        Subject: event.subject ?? "",
        Id: event.id,
      })),
    );
    await expect(page.getByText(`All ${count(events.length)} events`)).toBeVisible();

    const job = events.find(({ event }) => event.type === "flaky.job");
    await open(page, host, `/events/${job?.event.id}`);
    expect(await factsOf(section(page, "Attributes"))).toMatchObject({
      Id: job?.event.id,
      Source: job?.event.source,
      Type: job?.event.type,
      Position: count(job?.position ?? 0),
    });
    const { attempts } = await host.api<Schemas["RecordedAttemptPage"]>(`/attempts?event=${job?.event.id}`);
    expect(attempts).toHaveLength(3);
    const shown = section(page, "Attempts, newest first").locator("details");
    await expect(shown).toHaveCount(3);
    for (const [index, attempt] of attempts.entries()) {
      const one = shown.nth(index);
      await expect(one.locator("summary")).toContainText(
        `queued ${micros(attempt.queued_us)}, ran ${micros(attempt.took_us)}`,
      );
      if ((await one.getAttribute("open")) === null) {
        await one.locator("summary").click();
      }
      await expect(one.locator("dl")).toBeVisible();
      const facts = await factsOf(one);
      expect(facts).toMatchObject({
        Verdict: attempt.verdict,
        "Queued for permits and a thread": micros(attempt.queued_us),
        "Run time": micros(attempt.took_us),
        "Processor time": micros(attempt.cpu_us),
        "Peak memory": bytes(attempt.memory_bytes),
        Component: short(attempt.digest ?? ""),
      });
      expect(facts.Cause).toBe(attempt.cause ?? undefined);
    }
  });
});
