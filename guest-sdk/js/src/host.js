// The interface between the SDK and its host. In a component the host is the contract's imports (component.js), and in
// a test it is the fake host (testing.js).

let current = null;
/** Functions of the host that only some plugins need, such as those of the client. */
const offered = {};

/** Adds functions to a component's host. */
export function offer(functions) {
  Object.assign(offered, functions);
}

/** Sets the host that the SDK calls, and returns the previous one. */
export function install(host) {
  const before = current;
  current = host === null ? null : { ...offered, ...host };
  return before;
}

/** The contract's error. Some engines throw it directly, and others as the payload of an Error. */
export function thrownBy(error) {
  return error?.payload ?? error ?? {};
}

/** Whether there is a host to call. */
export function isThere() {
  return current !== null;
}

/** The host that the SDK calls. */
export function host() {
  if (current === null) {
    throw new Error(
      "there is no host: call this in a handler, since modules are loaded before there is one; in a test, call " +
        "handlers through FakeHost of @sandbus/sdk/testing",
    );
  }
  return current;
}
