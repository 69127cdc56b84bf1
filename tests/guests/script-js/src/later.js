// Imported when a handler runs.

export const isThere = true;
