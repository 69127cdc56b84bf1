/** The admin API, with the types of docs/openapi.json. */

import createClient from "openapi-fetch";
import type { FetchOptions, FetchResponse } from "openapi-fetch";
import type { HttpMethod, MediaType, PathsWithMethod } from "openapi-typescript-helpers";
import type { components, paths } from "./schema";

/** The types of the API by name, such as `Schemas["PluginView"]`. */
export type Schemas = components["schemas"];
/** The paths that support a method. */
export type PathOf<Method extends HttpMethod> = PathsWithMethod<paths, Method>;
/** The parameters and the body of a call. */
export type Init<Path extends keyof paths, Method extends HttpMethod> = FetchOptions<OperationOf<Path, Method>>;
/** What a successful call returns. */
export type DataOf<Path extends keyof paths, Method extends HttpMethod> = NonNullable<
  FetchResponse<OperationOf<Path, Method>, object, MediaType>["data"]
>;

type OperationOf<Path extends keyof paths, Method extends HttpMethod> = Extract<
  paths[Path][Method & keyof paths[Path]],
  Record<string | number, unknown>
>;

/** Why a call failed: the problem that the host reports, or the failure of the connection. */
export class ApiError extends Error {
  constructor(
    /** The HTTP status. 0 if the host did not answer. */
    readonly status: number,
    /** The stable code of the problem, for `sandbus explain CODE`. */
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

const client = createClient<paths>({ baseUrl: "/", credentials: "same-origin" });

/** Makes a call. Throws an `ApiError` if it fails. */
export async function call<Method extends HttpMethod, Path extends PathOf<Method>>(
  method: Method,
  path: Path,
  init?: Init<Path, Method>,
): Promise<DataOf<Path, Method>> {
  return (await callTagged(method, path, init)).data;
}

/** A resource with its `ETag`, for a change with `If-Match`. */
export interface Tagged<Data> {
  data: Data;
  /** Null if the host sends none. */
  tag: string | null;
}

/** Makes a call. Returns the `ETag` of the response, too. */
export async function callTagged<Method extends HttpMethod, Path extends PathOf<Method>>(
  method: Method,
  path: Path,
  init?: Init<Path, Method>,
): Promise<Tagged<DataOf<Path, Method>>> {
  type Result = { data?: unknown; error?: unknown; response: Response };
  // The generic parameters above check the arguments; the client cannot infer them from variables.
  const request = client.request as unknown as (method: string, path: string, init?: unknown) => Promise<Result>;
  let result: Result;
  try {
    result = await request(method, path, init);
  } catch (cause) {
    throw new ApiError(0, "unreachable", `The host does not answer: ${String(cause)}. Is it running?`);
  }
  const { data, error, response } = result;
  if (!response.ok) {
    throw errorOf(response.status, error);
  }
  return { data: data as DataOf<Path, Method>, tag: response.headers.get("etag") };
}

/** The error that a problem document describes. */
export function errorOf(status: number, body: unknown): ApiError {
  const problem = typeof body === "object" && body !== null ? (body as Partial<Schemas["ProblemView"]>) : {};
  return new ApiError(status, problem.code ?? `http-${status}`, problem.detail ?? problem.title ?? `HTTP ${status}`);
}

/** The path and query of a call, as one would type them. */
export function urlOf(path: string, init?: unknown): string {
  const { params } = (init ?? {}) as {
    params?: { path?: Record<string, unknown>; query?: Record<string, unknown> };
  };
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params?.path?.[name])));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params?.query ?? {})) {
    if (value !== undefined && value !== null) {
      query.append(name, String(value));
    }
  }
  return query.size === 0 ? filled : `${filled}?${query}`;
}
