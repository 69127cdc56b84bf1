import { expect, test } from "vitest";
import { ApiError } from "../api/client";
import { refused } from "./login";

test("known refusals have advice, and others the host's text", () => {
  const of = (code: string) => refused(new ApiError(401, code, "as the host says"));
  expect(of("token-rejected").message).toMatch(/expired or revoked/);
  expect(of("token-rejected").code).toBe("token-rejected");
  expect(of("stopping").message).toBe("as the host says");
  expect(refused(new TypeError("odd")).status).toBe(0);
});
