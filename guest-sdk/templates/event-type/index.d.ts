
/** The data of `{{type}}`. */
export declare const {{Type}}: {
  readonly type: "object";
  readonly properties: {};
};
