// The seam between the SDK and what it runs on: the host's imports in a component (component.js), and the
// fake host of a test (testing.js). Both offer the same functions.

let current = null;

/** Lets the SDK call a host from now on. Returns the one before. */
export function install(host) {
  const before = current;
  current = host;
  return before;
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
