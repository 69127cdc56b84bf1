// The types of the schemas in index.js.
