import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Writes the compressed form of every text beside it: the server sends it as it is. */
function gzip(): Plugin {
  let folder = '';
  return {
    name: 'gzip',
    apply: 'build',
    configResolved: ({ build }) => {
      folder = build.outDir;
    },
    writeBundle: () => {
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(js|css|html|json|svg)$/.test(name)) continue;
        writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  resolve: {
    alias: [
      { find: '@macula/web', replacement: here('../../../sdk/web/src/index.ts') },
      // The client's own folder need not have its modules installed.
      { find: /^@bufbuild\/protobuf$/, replacement: here('node_modules/@bufbuild/protobuf/dist/esm/index.js') },
      {
        find: /^@bufbuild\/protobuf\/(.*)$/,
        replacement: here('node_modules/@bufbuild/protobuf/dist/esm/$1/index.js'),
      },
    ],
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 1000 },
  plugins: [gzip()],
  server: { proxy: { '/api': process.env['DASHBOARD'] ?? 'http://localhost:30000' } },
});
