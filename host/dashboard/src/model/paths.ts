/** The addresses of pages, and the ids that they have. */

/** The page of a plugin, or of a file in the plugin folder that is not loaded. */
export function pluginPath(plugin: { name: string | null; file: string | null }): string {
  const name = plugin.name ?? plugin.file?.replace(/\.wasm$/, "");
  return name === undefined ? "/plugins" : `/plugins/${segment(name)}`;
}

/** The owner and the name of a subscription's id, `OWNER/NAME`. */
export function partsOf(id: string): { owner: string; name: string } {
  const slash = id.indexOf("/");
  return { owner: id.slice(0, slash), name: id.slice(slash + 1) };
}

/** The page of a subscription, `OWNER/NAME`. */
export function subscriptionPath(id: string): string {
  const { owner, name } = partsOf(id);
  return `/subscriptions/${segment(owner)}/${segment(name)}`;
}

/** A text as a segment of a path. The router decodes it once before `textOf` does, so percent signs are encoded twice. */
export function segment(text: string): string {
  return encodeURIComponent(text).replaceAll("%25", "%2525");
}

/** The text of a segment of the path that the router has matched; undefined if it is malformed. */
export function textOf(matched: string): string | undefined {
  try {
    return decodeURIComponent(matched);
  } catch {
    return undefined;
  }
}
