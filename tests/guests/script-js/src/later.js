// This module is imported while a handler runs.

export const isThere = true;
