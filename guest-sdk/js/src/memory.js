// Recognises exhausted memory.

/**
 * Whether a thrown value may mean that memory is exhausted. QuickJS throws null if it cannot even allocate the error, and
 * StarlingMonkey a string. The host knows whether it has refused memory.
 */
export function isOutOfMemory(thrown) {
  if (thrown === null || thrown === "out of memory") return true;
  try {
    return thrown instanceof Error && thrown.name === "InternalError" && thrown.message === "out of memory";
  } catch {
    return false;
  }
}
