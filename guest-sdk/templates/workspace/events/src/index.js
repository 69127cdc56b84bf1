// The data of each event type, as JSON Schema, for plugins in JavaScript and TypeScript. index.d.ts has the types.
