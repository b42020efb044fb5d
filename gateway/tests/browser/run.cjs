// Opens pages in Chromium and prints, as one JSON object, what they saw.
//
// usage: node run.cjs CHROMIUM PORT CERTIFICATE_DER_BASE64 REALM

const { createHash, X509Certificate } = require('node:crypto');
const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { chromium } = require('playwright-core');

const [executablePath, port, certificate, realm] = process.argv.slice(2);
const url = `https://127.0.0.1:${port}/v1/session`;
const sha256 = (data) => createHash('sha256').update(data).digest('base64');
const der = Buffer.from(certificate, 'base64');
const hash = sha256(der);
const spki = sha256(new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' }));

/** Serves the page and its script, and nothing else. */
function serve() {
  const script = readFileSync(join(__dirname, 'session.js'));
  const server = createServer((request, response) => {
    const isScript = request.url === '/session.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><title>A page</title>');
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)));
}

/** Runs a function of session.js in a page; its result, or the name of its error. */
async function inPage(page, name, ...args) {
  const run = async ([name, args]) => {
    try {
      return await (await import('/session.js'))[name](...args);
    } catch (error) {
      return { error: error.name };
    }
  };
  return page.evaluate(run, [name, args]);
}

/** Plain requests by fetch: the same gateway, its answers and its errors. */
async function fetched(page) {
  const run = async (base) => {
    try {
      const published = await fetch(`${base}/v1/topics/page.fetched`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'macula-key': 'k' },
        body: '{"a":1}',
      });
      const problem = await fetch(`${base}/v1/topics/page.`);
      return { published: published.status, problem: [problem.status, (await problem.json()).code] };
    } catch (error) {
      return { error: error.name };
    }
  };
  return page.evaluate(run, `https://127.0.0.1:${port}`);
}

async function main() {
  const server = await serve();
  const pages = server.address().port;
  const foreign = `http://foreign.example:${pages}`;
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // A page of somewhere else, which is a secure context all the same, as it would be with https.
      '--host-resolver-rules=MAP foreign.example 127.0.0.1',
      `--unsafely-treat-insecure-origin-as-secure=${foreign}`,
      // fetch takes no hash of a certificate, and would try TCP first.
      `--ignore-certificate-errors-spki-list=${spki}`,
      `--origin-to-force-quic-on=127.0.0.1:${port}`,
    ],
  });
  try {
    const own = await browser.newPage();
    await own.goto(`http://127.0.0.1:${pages}/`);
    const other = await browser.newPage();
    await other.goto(`${foreign}/`);
    const seen = {
      version: browser.version(),
      own: await inPage(own, 'roundTrip', url, hash, realm, 'hello from a page'),
      refused: await inPage(own, 'refusal', url, hash, 'other.realm'),
      fetched: await fetched(own),
      secure: await other.evaluate(() => isSecureContext && typeof WebTransport === 'function'),
      foreign: await inPage(other, 'roundTrip', url, hash, realm, 'hello from elsewhere'),
      foreignFetched: await fetched(other),
    };
    console.log(JSON.stringify(seen));
  } finally {
    await browser.close();
    server.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
