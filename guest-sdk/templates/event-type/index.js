
/** The data of `{{type}}`. */
export const {{Type}} = {
  type: "object",
  required: ["name"],
  properties: { name: { type: "string" } },
};
