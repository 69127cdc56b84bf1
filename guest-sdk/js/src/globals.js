// What programs expect of a platform and QuickJS has not: TextEncoder, TextDecoder (UTF-8 alone), and a console
// whose lines reach the host's log.

import * as log from "./log.js";
import { decodeUtf8, encodeUtf8 } from "./text.js";

class Utf8Encoder {
  get encoding() {
    return "utf-8";
  }

  encode(text = "") {
    return encodeUtf8(String(text));
  }
}

class Utf8Decoder {
  constructor(label = "utf-8") {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`the encoding ${label} is not supported; utf-8 is`);
  }

  get encoding() {
    return "utf-8";
  }

  decode(bytes = new Uint8Array()) {
    return decodeUtf8(
      ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : new Uint8Array(bytes),
    );
  }
}

globalThis.TextEncoder ??= Utf8Encoder;
globalThis.TextDecoder ??= Utf8Decoder;
globalThis.console = { ...log, log: log.info };
