/** The views, and how to find one's way in them. */

import { expect, type Locator, type Page } from "@playwright/test";
import type { Host, Schemas } from "./host";

/** A view that is open to a reader who has logged in. */
export interface View {
  /** What it is called in the tests. */
  name: string;
  path: string;
}

/** The views that the navigation leads to. */
export const LISTS: View[] = [
  { name: "overview", path: "/" },
  { name: "live", path: "/live" },
  { name: "events", path: "/events" },
  { name: "dead letters", path: "/dead-letters" },
  { name: "plugins", path: "/plugins" },
  { name: "subscriptions", path: "/subscriptions" },
  { name: "schedules", path: "/schedules" },
  { name: "publish", path: "/publish" },
  { name: "system", path: "/system" },
];

/** The guests of a host that has something to show in every view. */
export const GUESTS = ["registration", "registration-handler", "poison", "flaky", "keyed", "keeper", "hostile"];

/** Lets a host do something of every kind: what is handled, what is retried, what fails, what waits. */
export async function populate(host: Host): Promise<void> {
  await host.register("Ada");
  await host.register("Grace");
  await host.publish({ type: "flaky.job", data: { job: 1 } });
  await host.publish({ type: "poison.pill", id: "pill-1" }, { type: "poison.pill", id: "pill-2" });
  await host.publish({ type: "keyed.parked", id: "parked-1", data: { account: "a", number: 1, poison: true } });
  await host.publish({ type: "keyed.parked", id: "parked-2", data: { account: "a", number: 2 } });
  await host.publish({ type: "keeper.job", id: "job-1", data: {} });
  await host.request("PUT", "/keeper/answer", { answer: "forty-two" });
  await host.request("POST", "/keeper/later", { later: true });
  await host.request("POST", "/hostile/trap");
  await host.deadLetters(3);
}

/** All views of a populated host. */
export async function viewsOf(host: Host): Promise<View[]> {
  const { events } = await host.api<Schemas["EventPage"]>("/events?type=user.registered");
  const { dead_letters: letters } = await host.api<Schemas["DeadLetterPage"]>("/dead-letters");
  const id = encodeURIComponent(events[0]?.event.id ?? "none");
  return [
    ...LISTS,
    { name: "event", path: `/events/${id}` },
    { name: "cause tree", path: `/causes/${id}` },
    { name: "dead letter", path: `/dead-letters/${letters[0]?.number}` },
    { name: "plugin", path: "/plugins/keeper" },
    { name: "generations", path: "/plugins/keeper?tab=generations" },
    { name: "new build", path: "/plugins/keeper?tab=build" },
    { name: "sidecar", path: "/plugins/keeper?tab=sidecar" },
    { name: "state", path: "/plugins/keeper?tab=state&key=answer" },
    { name: "group of dead letters", path: `/dead-letters?group=${letters[0]?.number}` },
    { name: "subscription", path: "/subscriptions/keyed/parked" },
    { name: "missing page", path: "/nowhere" },
  ];
}

/** Opens a view, and waits until it has loaded. */
export async function open(page: Page, host: Host, path: string): Promise<void> {
  await page.goto(host.admin + path);
  await settled(page);
}

/** Waits until a view has loaded. */
export async function settled(page: Page): Promise<void> {
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  await expect(page.getByText("Loading…")).toHaveCount(0);
}

/** Logs in with the form. */
export async function logIn(page: Page, host: Host, token: string, path = "/"): Promise<void> {
  await page.goto(host.admin + path);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
  await settled(page);
}

/** A row of a table, by the text of one of its cells. */
export function row(page: Page, table: string | RegExp, text: string | RegExp): Locator {
  return page.getByRole("table", { name: table }).getByRole("row").filter({ hasText: text });
}
