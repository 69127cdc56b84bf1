// What programs expect of a platform and QuickJS has not: TextEncoder, TextDecoder (UTF-8 alone), random numbers from
// `crypto`, and a console whose lines reach the host's log. And what an engine has that a snapshot would freeze, or whose
// work would be left undone.

import { install } from "./chance.js";
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
// StarlingMonkey's own functions return its own promises, which only its own queue settles.
installJobs(!isQuickJs);
