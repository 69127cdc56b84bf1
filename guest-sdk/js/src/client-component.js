// The client in a component. The build uses it in place of client.js, so that only plugins that send requests import
// the interface. It uses the contract's own interface, since componentize-qjs does not support `wasi:http`.

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
