/** Commands for a POSIX shell. */

/** A text as one word of a shell command, whatever it contains. */
export function quote(text: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
