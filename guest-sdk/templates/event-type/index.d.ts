
/** The data of `{{type}}`. */
export declare const {{Type}}: {
  readonly type: "object";
  readonly required: readonly ["name"];
  readonly properties: { readonly name: { readonly type: "string" } };
};
