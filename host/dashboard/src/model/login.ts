/** Why a login fails. */

import { ApiError } from "../api/client";

/** What a reader can do about a login that the host refuses. */
const ADVICE: Record<string, string> = {
  "token-rejected": "The host does not accept this token. It may be mistyped, expired or revoked.",
  "token-required": "The host has received no token. Paste the whole token, which begins with sbt_.",
  "too-many-failures": "The host has rejected too many tokens, and accepts none for a while. Wait a minute.",
  "tokens-unreadable": "The host cannot read its tokens, so it rejects all of them. An administrator must restore them.",
};

/** The error of a login that the host refuses. */
export function refused(failure: unknown): ApiError {
  if (!(failure instanceof ApiError)) {
    return new ApiError(0, "unreachable", String(failure));
  }
  const { status, code, message } = failure;
  return new ApiError(status, code, ADVICE[code] ?? message);
}

/** The error of a login that the host accepts, although the browser does not keep its cookie. */
export function cookieRefused(): ApiError {
  return new ApiError(
    0,
    "no-cookie",
    "The host accepts the token, but the browser does not keep the cookie of the session. Allow cookies for this address, or open it by HTTPS.",
  );
}
