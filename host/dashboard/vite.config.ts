import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Replaces each file by its compressed form, because the host embeds and serves compressed files only. */
function compress(): Plugin {
  return {
    name: "compress",
    generateBundle: {
      // After Vite has completed the code of all chunks.
      order: "post",
      handler(_, bundle) {
        for (const [name, file] of Object.entries(bundle)) {
          const source = file.type === "chunk" ? file.code : file.source;
          this.emitFile({ type: "asset", fileName: `${name}.gz`, source: gzipSync(source, { level: 9 }) });
          delete bundle[name];
        }
      },
    },
  };
}

const admin = process.env.SANDBUS_ADMIN ?? "http://127.0.0.1:8081";

export default defineConfig({
  plugins: [compress()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  resolve: {
    // Libraries that are written for React.
    alias: {
      "react/jsx-runtime": "preact/jsx-runtime",
      "react-dom": "preact/compat",
      react: "preact/compat",
    },
  },
  build: {
    outDir: "dist/site",
    target: "es2022",
    modulePreload: { polyfill: false },
    // The content security policy allows no data: URLs, except for images.
    assetsInlineLimit: 0,
  },
  // `npm run dev` shows the dashboard of a running host.
  server: { proxy: { "/v1": admin, "/metrics": admin } },
});
