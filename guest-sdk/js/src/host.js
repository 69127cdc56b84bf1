// The seam between the SDK and its environment: the host's imports in a component (component.js), or the fake host in a
// test (testing.js). Both offer the same functions.

let current = null;
/** What parts of the SDK bring with them that not every plugin has. */
const offered = {};

/** Adds functions to a component's host. */
export function offer(functions) {
  Object.assign(offered, functions);
}

/** Lets the SDK call a host from now on. Returns the one before. */
export function install(host) {
  const before = current;
  current = host === null ? null : { ...offered, ...host };
  return before;
}

/** The contract's error, which componentizers throw as it is or as the payload of an Error. */
export function thrownBy(error) {
  return error?.payload ?? error ?? {};
}

/** Whether there is a host to call. */
export function isThere() {
  return current !== null;
}

/** What the SDK calls. */
export function host() {
  if (current === null) {
    throw new Error(
      "there is no host here: outside of a component, call handlers through FakeHost of @sandbus/sdk/testing",
    );
  }
  return current;
}
