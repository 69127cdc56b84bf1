
/** The data of `{{type}}`. Until it has properties, it accepts every object. */
export const {{Type}} = {
  type: "object",
  properties: {},
};
