/** The form of a token. */

import type { Schemas } from "../api/client";

/** The roles of callers, the weakest first. */
export const ROLES = ["view", "operate", "deploy", "admin"] as const;

/** What a role permits. docs/operating.md has the whole table. */
export const PERMITS: Record<(typeof ROLES)[number], string> = {
  view: "shows everything, except sidecars, tokens and the audit log",
  operate: "shows, publishes, replays and redrives, and changes subscriptions and state",
  deploy: "shows, and uploads, compares and rolls back plugins",
  admin: "may do everything",
};

/** What a reader has entered. */
export interface TokenDraft {
  name: string;
  role: (typeof ROLES)[number];
  plugin: string;
  expiresIn: string;
  hidePayloads: boolean;
}

/** An empty form. */
export const EMPTY_TOKEN: TokenDraft = { name: "", role: "view", plugin: "", expiresIn: "90d", hidePayloads: false };

/** The request of a form. */
export function tokenRequestOf({ name, role, plugin, expiresIn, hidePayloads }: TokenDraft): Schemas["TokenRequest"] {
  const textOf = (text: string) => (text.trim() === "" ? null : text.trim());
  return {
    name: textOf(name),
    role,
    plugin: textOf(plugin),
    expires_in: textOf(expiresIn),
    hide_payloads: hidePayloads,
  };
}
