/// <reference types="node" />
// The package as those get it who use it: what a bundle takes of it, its types, and the example of the README.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import ts from 'typescript';
import { describe, expect, test, vi } from 'vitest';

// The compiler reads all of the DOM's types.
vi.setConfig({ testTimeout: 60_000 });

const root = fileURLToPath(new URL('..', import.meta.url));
const index = join(root, 'src/index.ts');
const { options } = ts.parseJsonConfigFileContent(
  { extends: './tsconfig.build.json', include: ['src'] },
  ts.sys,
  root,
);

/** What an application that is this line has of the package in its bundle. */
async function bundled(line: string): Promise<string> {
  const entry = '\0entry';
  const bundle = await rolldown({
    input: entry,
    resolve: { alias: { '@macula/web': index } },
    plugins: [{ name: 'entry', resolveId: (id) => (id === entry ? id : null), load: (id) => (id === entry ? line : null) }],
  });
  const { output } = await bundle.generate({ minify: true });
  await bundle.close();
  return output.map((file) => (file.type === 'chunk' ? file.code : '')).join('');
}

describe('a bundle', () => {
  const PARTS = ['WebTransport', 'macula.v1', 'ReadableStream', 'getWriter', 'UNAVAILABLE'];
  const found = (code: string): string[] => PARTS.filter((part) => code.includes(part));

  test('has the whole client when it connects', async () => {
    const code = await bundled(`import { connect } from '@macula/web'; connect({ url: '', realm: '' });`);
    expect(found(code)).toEqual(['WebTransport', 'getWriter', 'UNAVAILABLE']);
  });

  test.each([
    ['topicFault', `topicFault('a.b')`],
    ['matches', `matches('a.*', 'a.b')`],
    ['slotOf', `slotOf('', 'a.b')`],
  ])('that imports %s alone has nothing else', async (name, use) => {
    const code = await bundled(`import { ${name} } from '@macula/web'; console.log(${use});`);
    expect(found(code)).toEqual([]);
    expect(code.length).toBeLessThan(1_500);
  });

  test('that imports nothing by name is empty', async () => {
    expect((await bundled(`import '@macula/web';`)).trim()).toBe('');
  });
});

/** The declarations that `npm run build` writes, by file. */
function declarations(): Map<string, string> {
  const written = new Map<string, string>();
  const program = ts.createProgram([index], { ...options, noEmit: false, emitDeclarationOnly: true });
  program.emit(undefined, (path, text) => written.set(path, text));
  return written;
}

test('no type of the public surface is `any`', () => {
  const files = declarations();
  const looked = new Set<string>();
  const faults: string[] = [];
  const look = (path: string): void => {
    const text = files.get(path);
    if (text === undefined || looked.has(path)) return;
    looked.add(path);
    const visit = (node: ts.Node): void => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) faults.push(`${path}: ${node.parent.getText()}`);
      const from = ts.isImportDeclaration(node) || ts.isExportDeclaration(node) ? node.moduleSpecifier : undefined;
      if (from !== undefined && ts.isStringLiteral(from)) look(join(dirname(path), from.text.replace(/\.js$/, '.d.ts')));
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true));
  };
  look(join(root, 'dist/index.d.ts'));
  expect([...looked].map((path) => path.slice(root.length))).toEqual(
    expect.arrayContaining(['dist/client.d.ts', 'dist/options.d.ts', 'dist/subscription.d.ts']),
  );
  expect(faults).toEqual([]);
});

test('the examples of the README compile', () => {
  const examples = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs)];
  expect(examples.length).toBeGreaterThan(0);
  for (const [index_, [, example = '']] of examples.entries()) {
    const path = join(root, `example-${index_}.ts`);
    const settings = { ...options, rootDir: root, noEmit: true, noUnusedLocals: false, paths: { '@macula/web': [index] } };
    const host = ts.createCompilerHost(settings);
    const [exists, read] = [host.fileExists.bind(host), host.getSourceFile.bind(host)];
    host.fileExists = (name) => name === path || exists(name);
    host.getSourceFile = (name, target, ...rest) =>
      name === path ? ts.createSourceFile(name, example, target) : read(name, target, ...rest);
    const faults = ts.getPreEmitDiagnostics(ts.createProgram([path], settings, host));
    expect(faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  }
});
