// CommonJS runs in strict mode, too, since a component is one module.

exports.strict = {
  "CommonJS: this of a function": () => (function () { return typeof this; })(),
  "CommonJS: undeclared": () => { undeclaredName = 1; },
  "CommonJS: frozen": () => { Object.freeze({ a: 1 }).a = 2; },
  "CommonJS: arguments": () => (function (a) { arguments[0] = 2; return a; })(1),
  "CommonJS: typeof this": () => typeof this,
};
