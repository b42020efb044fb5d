// Opens a page with the client of sdk/web in Chromium, and does what the test tells it.
//
// usage: node web.cjs CHROMIUM CLIENT_FOLDER
// Reads lines: `certificate DER_BASE64` sets the one that the page trusts, any other is `NAME [JSON]`, a function of web.js
// and its argument. Prints a JSON line for each: what it returned, or its error.

const { createHash } = require('node:crypto');
const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
const { extname, join, normalize } = require('node:path');
const { createInterface } = require('node:readline');
const { chromium } = require('playwright-core');

const [executablePath, folder] = process.argv.slice(2);
const types = { '.js': 'text/javascript', '.html': 'text/html' };
const imports = {
  '@macula/web': '/dist/index.js',
  '@bufbuild/protobuf': '/protobuf/index.js',
  '@bufbuild/protobuf/codegenv2': '/protobuf/codegenv2/index.js',
  '@bufbuild/protobuf/wkt': '/protobuf/wkt/index.js',
};
const page = `<!doctype html><title>A page</title><script type="importmap">${JSON.stringify({ imports })}</script>`;
let hash = '';

/** Where the parts of the page lie. */
function find(path) {
  if (path === '/') return page;
  if (path === '/hash') return hash;
  if (path === '/web.js') return readFileSync(join(__dirname, 'web.js'));
  const [, root, ...rest] = normalize(path).split('/');
  const roots = { dist: 'dist', protobuf: 'node_modules/@bufbuild/protobuf/dist/esm' };
  return root in roots ? readFileSync(join(folder, roots[root], ...rest)) : '';
}

async function main() {
  const server = createServer((request, response) => {
    response.setHeader('content-type', types[extname(request.url)] ?? 'text/html');
    response.end(find(request.url));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'],
  });
  try {
    const own = await browser.newPage();
    own.on('pageerror', (error) => console.error(error));
    await own.goto(`http://127.0.0.1:${server.address().port}/`);
    const run = async ([name, argument]) => {
      try {
        return (await (await import('/web.js'))[name](argument)) ?? null;
      } catch (error) {
        return { error: `${error.code ?? error.name}: ${error.message}` };
      }
    };
    for await (const line of createInterface({ input: process.stdin })) {
      const [name, ...argument] = line.split(' ');
      if (name === 'certificate') hash = createHash('sha256').update(argument[0], 'base64').digest('base64');
      else console.log(JSON.stringify(await own.evaluate(run, [name, JSON.parse(argument.join(' ') || 'null')])));
    }
  } finally {
    await browser.close();
    server.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
