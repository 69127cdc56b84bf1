import { expect, test } from "vitest";
import { EMPTY_ROUTE_DRAFT, draftOfRoute, draftOfSample, faultsOfRequest, matching, requestOf } from "./route_request";

test("a route becomes a draft, whose parameters the reader replaces", () => {
  const draft = draftOfRoute("POST /orders/{id}");
  expect(draft).toEqual({
    method: "POST",
    path: "/orders/{id}",
    headers: "content-type: application/json",
    body: "{}",
  });
  expect(faultsOfRequest(draft)).toEqual({ path: "Replace the parameters in braces." });
  expect(faultsOfRequest({ ...draft, path: "/orders/7?dry=true" })).toEqual({});
  expect(draftOfRoute("DELETE /orders")).toEqual({ method: "DELETE", path: "/orders", headers: "", body: "" });
});

test("headers and the body are sent as they are written", () => {
  const draft = { ...EMPTY_ROUTE_DRAFT, headers: "Accept: text/plain\n\nx-empty:\nx-time: 10:30", body: "a\nb" };
  expect(requestOf(draft)).toEqual({
    headers: [
      { name: "Accept", value: "text/plain" },
      { name: "x-empty", value: "" },
      { name: "x-time", value: "10:30" },
    ],
    body: "a\nb",
    body_base64: null,
  });
  expect(requestOf(EMPTY_ROUTE_DRAFT)).toEqual({ headers: [], body: null, body_base64: null });
});

test("a sample becomes a draft with the same request", () => {
  const sample = { method: "PUT", path: "/a?b=c", headers: [{ name: "x", value: "y: z" }], body: "{}" };
  expect(draftOfSample(sample)).toEqual({ method: "PUT", path: "/a?b=c", headers: "x: y: z", body: "{}" });
  expect(requestOf(draftOfSample(sample))).toEqual({ headers: sample.headers, body: "{}", body_base64: null });
});

test("faults name the field", () => {
  const faults = (fields: object) => Object.keys(faultsOfRequest({ ...EMPTY_ROUTE_DRAFT, ...fields }));
  expect(faults({ path: "orders" })).toEqual(["path"]);
  expect(faults({ path: "" })).toEqual(["path"]);
  expect(faults({ path: "/a b" })).toEqual(["path"]);
  expect(faults({ headers: "no colon" })).toEqual(["headers"]);
  expect(faults({ headers: "a b: c" })).toEqual(["headers"]);
});

test("the routes that match a request are found", () => {
  const routes = ["GET /a", "GET /a/{id}", "POST /a", "GET /files/{*rest}", "GET /"].map((route) => ({ route }));
  const found = (method: string, path: string) =>
    matching(routes, { ...EMPTY_ROUTE_DRAFT, method, path }).map(({ route }) => route);
  expect(found("GET", "/a?x=1")).toEqual(["GET /a"]);
  expect(found("POST", "/a")).toEqual(["POST /a"]);
  expect(found("GET", "/a/7")).toEqual(["GET /a/{id}"]);
  expect(found("GET", "/a/")).toEqual([]);
  expect(found("GET", "/files/x/y")).toEqual(["GET /files/{*rest}"]);
  expect(found("GET", "/files")).toEqual([]);
  expect(found("GET", "/")).toEqual(["GET /"]);
  expect(found("PUT", "/a")).toEqual([]);
});
