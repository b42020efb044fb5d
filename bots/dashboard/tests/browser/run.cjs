// Opens the dashboard in Chromium, does what people do, and prints what it measured as `seen {JSON}`.
//
// usage: node run.cjs SETTINGS_JSON
// Prints `kill` and `rise` to have the browsers' gateway killed and started, and waits for a line each time.

const { createInterface } = require('node:readline');
const { chromium } = require('playwright-core');
const { checks } = require('./checks.cjs');

const settings = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the test do something, and waits until it is done. */
async function ask(what) {
  console.log(what);
  await lines.next();
}

/** Why the page is not as it should be. */
const faults = [];
const seen = {};

/** A page that notes whatever should not happen on it. */
async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const state = { offline: false };
  page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.stack ?? error}`));
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    // The browser's own words about a gateway that is down, or an answer that is an error and is tested as such.
    const network = /Failed to load resource|ERR_|WebTransport|Failed to establish/.test(message.text());
    if (!(network && state.offline)) faults.push(`${page.url()}: console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== 'data:' && host !== new URL(page.url() === 'about:blank' ? request.url() : page.url()).host)
      faults.push(`a request to ${host}`);
  });
  return { page, context, state };
}

async function main() {
  const browser = await chromium.launch({
    executablePath: settings.chromium,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP dashboard.cortexiq.local 127.0.0.1',
    ],
  });
  try {
    for (const [name, check] of Object.entries(checks)) {
      if (settings.only && !name.includes(settings.only)) continue;
      const begun = Date.now();
      try {
        await check({ browser, settings, open: (options) => open(browser, options), ask, seen });
        console.log(`ok ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
      } catch (error) {
        faults.push(`${name}: ${error.stack ?? error}`);
        console.log(`FAILED ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
      }
      for (const context of browser.contexts()) await context.close();
    }
  } finally {
    await browser.close();
  }
  console.log(`seen ${JSON.stringify(seen)}`);
  if (faults.length > 0) console.log(`\n${[...new Set(faults)].join('\n\n')}`);
  process.exit(faults.length > 0 ? 1 : 0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
