/** The effective configuration as text. */

import type { Schemas } from "../api/client";

type Setting = Schemas["SettingView"];

/** A value as the reader would write it in the configuration file. */
export function valueText(value: unknown): string {
  return value === null ? "unset" : JSON.stringify(value);
}

/** The origin of a value, such as `file sandbus.toml`. */
export function originText({ origin, source }: Setting): string {
  return source === null ? origin : `${origin} ${source}`;
}

/** The settings whose key, value or origin contains a text. */
export function matching(settings: Setting[], text: string): Setting[] {
  const wanted = text.trim().toLowerCase();
  return settings.filter((setting) =>
    `${setting.key} ${valueText(setting.value)} ${originText(setting)}`.toLowerCase().includes(wanted),
  );
}

/** The settings by which the host deletes data, in words. */
export const RETENTION: readonly [key: string, title: string][] = [
  ["bus.retain_for", "Delete handled events older than"],
  ["bus.retain_bytes", "Delete the oldest handled events above"],
  ["bus.retain_delete_unhandled", "Also delete unhandled events"],
  ["bus.max_log_bytes", "Largest size of the log"],
  ["ledger.retain_for", "Delete ledger records older than"],
  ["ledger.retain_bytes", "Delete the oldest ledger records above"],
  ["ledger.retain_aggregates_for", "Delete ledger aggregates older than"],
  ["access.audit_retain_bytes", "Delete the oldest audit files above"],
];
