/** Data that a reader has edited. */

import type { Schemas } from "../api/client";

type Event = Pick<Schemas["EventDocument"], "data_base64"> & { data?: unknown };

/** The data of an event as text to edit, and whether the text is base64. */
export function editableOf(event: Event): { text: string; isBase64: boolean } {
  if (event.data_base64 !== undefined) {
    return { text: event.data_base64, isBase64: true };
  }
  return { text: event.data === undefined ? "" : JSON.stringify(event.data, null, 2), isBase64: false };
}

/** Why a text cannot be the data; null if it can. */
export function faultOf(text: string, isBase64: boolean): string | null {
  try {
    if (isBase64) {
      atob(text.trim());
    } else {
      JSON.parse(text);
    }
    return null;
  } catch (error) {
    return isBase64 ? "The text is not base64." : `The text is not JSON: ${(error as Error).message}`;
  }
}

/** The body of a redrive with edited data. JSON is sent as written, so that no digit of a number is lost. */
export function bodyOf(text: string, isBase64: boolean): string {
  return isBase64 ? JSON.stringify({ data_base64: text.trim() }) : `{"data":${text}}`;
}

/** Whether data has integers that this browser may have rounded when it read them. */
export function mayBeRounded(data: unknown): boolean {
  if (typeof data === "number") {
    return Number.isInteger(data) && !Number.isSafeInteger(data);
  }
  return typeof data === "object" && data !== null && Object.values(data).some(mayBeRounded);
}
