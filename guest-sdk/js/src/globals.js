// What programs expect of a platform and QuickJS has not: TextEncoder, TextDecoder (UTF-8 alone), random numbers from
// `crypto`, and a console whose lines reach the host's log. And what an engine has that a snapshot would freeze.

import { install } from "./chance.js";
import { crypto } from "./crypto.js";
import * as log from "./log.js";
import { Utf8Decoder, Utf8Encoder } from "./utf8.js";

globalThis.TextEncoder ??= Utf8Encoder;
globalThis.TextDecoder ??= Utf8Decoder;
globalThis.crypto ??= crypto;
globalThis.console = { ...log, log: log.info };
install();
