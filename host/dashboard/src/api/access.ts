/** Who the reader is, and what they may do. */

import { signal } from "@preact/signals";
import { call, type Schemas } from "./client";

/** What the caller may do. Undefined until the host has answered; null if the caller has to log in. */
export const access = signal<Schemas["AccessView"] | null | undefined>(undefined);

/** Reads what the caller may do. */
export async function readAccess(): Promise<void> {
  try {
    access.value = await call("get", "/v1/access");
  } catch (error) {
    if ((error as { status?: number }).status !== 401) {
      throw error;
    }
    endSession();
  }
}

/** Leads to the login. The page loads again, so that the next reader sees nothing that this one has read. */
export function endSession(): void {
  if (access.value) {
    location.reload();
  }
  access.value = null;
}

/** Whether the caller may use an operation, by its id in docs/openapi.json. */
export function may(operation: string): boolean {
  return access.value?.operations.includes(operation) ?? false;
}

/** Keeps a token in a cookie that scripts cannot read. */
export async function logIn(token: string): Promise<void> {
  await call("post", "/v1/session", { headers: { authorization: `Bearer ${token}` } });
  await readAccess();
}

/** Removes the cookie, and revokes the token if a login has created it. The page loads again, as `endSession` does. */
export async function logOut(): Promise<void> {
  await call("delete", "/v1/session");
  location.reload();
}
