/** Payloads in the forms that a reader can choose. */

/** A form of a payload. */
export type Form = "tree" | "text" | "hex";

/** A payload in its forms. The expensive ones are made when they are shown. */
export interface Forms {
  /** The forms that make sense, the best one first. */
  available: Form[];
  /** The size in bytes. For JSON, that of its compact form. */
  size: number;
  text: () => string;
  hex: () => string;
}

/** The most bytes that are shown as hex. */
const HEX_LIMIT = 16_384;

/** The forms of a payload; null if there is none. */
export function formsOf(data: unknown, base64: string | null): Forms | null {
  if (base64 !== null) {
    const binary = bytesOf(base64);
    const text = textOf(binary);
    return {
      available: text === null ? ["hex"] : ["text", "hex"],
      size: binary.length,
      text: () => text ?? base64,
      hex: () => hexOf(binary),
    };
  }
  if (data === undefined || data === null) {
    return null;
  }
  const compact = typeof data === "string" ? data : JSON.stringify(data);
  const binary = new TextEncoder().encode(compact);
  return {
    available: typeof data === "object" ? ["tree", "text", "hex"] : ["text", "hex"],
    size: binary.length,
    text: () => (typeof data === "string" ? data : JSON.stringify(data, null, 2)),
    hex: () => hexOf(binary),
  };
}

/** The bytes of a text in base64. */
export function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** A text in base64, of its bytes in UTF-8. */
export function base64Of(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

function textOf(binary: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(binary);
  } catch {
    return null;
  }
}

function hexOf(binary: Uint8Array): string {
  const lines: string[] = [];
  const shown = binary.subarray(0, HEX_LIMIT);
  for (let at = 0; at < shown.length; at += 16) {
    const row = Array.from(shown.subarray(at, at + 16));
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const ascii = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex.padEnd(47)}  ${ascii}`);
  }
  if (binary.length > HEX_LIMIT) {
    lines.push(`… ${binary.length - HEX_LIMIT} bytes more`);
  }
  return lines.join("\n");
}
