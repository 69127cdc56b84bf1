// Globals that programs expect and QuickJS lacks: TextEncoder and TextDecoder (UTF-8 only), random numbers from
// `crypto`, and a console that writes to the host's log. It also replaces functions whose result a snapshot would
// freeze, and those whose work would not finish before the outcome.

import { install } from "./random.js";
import { console } from "./console.js";
import { crypto } from "./crypto.js";
import { installJobs } from "./jobs.js";
import { limitedParse } from "./json-depth.js";
import { Utf8Decoder, Utf8Encoder } from "./utf8.js";

const isQuickJs = "__cqjs" in globalThis;

globalThis.TextEncoder ??= Utf8Encoder;
globalThis.TextDecoder ??= Utf8Decoder;
globalThis.crypto ??= crypto;
globalThis.console = console;
if (isQuickJs) JSON.parse = limitedParse(JSON.parse);
install();
// StarlingMonkey's own functions return native promises, which only its own queue settles.
installJobs(!isQuickJs);
