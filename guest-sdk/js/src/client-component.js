// The client as a component has it: what the build takes in place of client.js, so that only a plugin that sends
// requests imports what sends them. It is the contract's own interface: componentize-qjs cannot take `wasi:http`.

import { send } from "sandbus:plugin/client@0.1.0";

import { SendError } from "./failure.js";
import { offer, thrownBy } from "./host.js";

offer({
  send: (request) => {
    try {
      return send(request);
    } catch (error) {
      const { tag, val } = thrownBy(error);
      throw tag === undefined ? error : new SendError(tag, val ?? "the request was not answered in time");
    }
  },
});

export * from "./client.js";
