/** The choice of what the charts of the overview are about. */

import type { Selection } from "./minutes";
import type { Facts } from "./overview_problems";
import { partsOf } from "./paths";

/** The choices of a plugin. */
export interface SubjectChoices {
  plugin: string;
  choices: { value: string; label: string }[];
}

/** The choice that a selection is. */
export function valueOf({ plugin, isRoutes, subscription }: Selection): string {
  if (subscription !== undefined) {
    return `subscription ${subscription}`;
  }
  if (plugin === undefined) {
    return "";
  }
  return isRoutes === true ? `routes ${plugin}` : `plugin ${plugin}`;
}

/** The query of the page's address for a choice. */
export function queryOfValue(value: string): Record<"plugin" | "routes" | "subscription", string | undefined> {
  const [kind, name] = [value.slice(0, value.indexOf(" ")), value.slice(value.indexOf(" ") + 1)];
  return {
    plugin: kind === "plugin" || kind === "routes" ? name : undefined,
    routes: kind === "routes" ? "true" : undefined,
    subscription: kind === "subscription" ? name : undefined,
  };
}

/** All choices by plugin: everything that the host knows, and what is selected. */
export function choicesOf(facts: Facts, selection: Selection): SubjectChoices[] {
  const subscriptions = new Map<string, Set<string>>();
  const of = (plugin: string) => {
    const known = subscriptions.get(plugin) ?? new Set<string>();
    subscriptions.set(plugin, known);
    return known;
  };
  for (const plugin of facts.plugins ?? []) {
    if (plugin.name !== null) {
      of(plugin.name);
    }
  }
  const ids = (facts.subscriptions ?? []).map((subscription) => subscription.id);
  for (const id of [...ids, ...(selection.subscription === undefined ? [] : [selection.subscription])]) {
    of(partsOf(id).owner).add(id);
  }
  if (selection.plugin !== undefined) {
    of(selection.plugin);
  }
  return [...subscriptions].sort(([first], [second]) => (first < second ? -1 : 1)).map(([plugin, names]) => ({
    plugin,
    choices: [
      { value: `plugin ${plugin}`, label: `${plugin}: everything` },
      { value: `routes ${plugin}`, label: `${plugin}: routes` },
      ...[...names].sort().map((id) => ({ value: `subscription ${id}`, label: id })),
    ],
  }));
}
