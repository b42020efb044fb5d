// A page that uses the client of sdk/web. Its state lives as long as the page.

import { connect } from '@macula/web';

let client, subscription;
const events = [];

/** The hash of the certificate that the gateway has now: it gets another when it starts again. */
async function certificateHashes() {
  const text = await (await fetch('/hash')).text();
  return [Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))];
}

/** Connects and subscribes to what the page itself publishes. */
export async function open({ url, realm }) {
  client = await connect({ url, realm, certificateHashes, name: 'page/1', onEvent: (event) => events.push(event.type) });
  subscription = await client.subscribe('page.*', { echo: true, retained: true });
  return { gateway: client.gateway };
}

/** The next messages, and what else is yielded between them. */
export async function take(count) {
  const seen = [];
  while (count > 0) {
    const { value } = await subscription.next();
    seen.push(value.type === 'message' ? value.text() : value.type);
    if (value.type === 'message') count--;
  }
  return seen;
}

/** Publishes and calls. */
export async function exchange() {
  const { sequence, matches } = await client.publish('page.value', 'kept', { key: 'k', retain: true });
  const emitted = client.emit('page.telemetry', 'measured');
  const echo = (await client.call('$sys.echo', 'hello')).text();
  const nobody = await client.call('page.nobody').catch((error) => error.code);
  const parts = [];
  for await (const part of client.callStream('$sys.retained', 'page.#')) parts.push(part.payload.length > 0);
  return { sequence: Number(sequence), matches, emitted, echo, nobody, parts };
}

/** Publishes so many events at once; resolves when all are accepted. */
export async function burst({ from, count }) {
  const numbers = Array.from({ length: count }, (_, index) => from + index);
  await Promise.all(numbers.map((number) => client.publish('page.number', String(number))));
  return count;
}

/** Begins a burst, and does not wait for it. */
let bursting;
export function begin(range) {
  bursting = burst(range);
}

export async function finish() {
  return { accepted: await bursting, events };
}

export async function close() {
  await client.close();
  return { events, gateway: client.gateway ?? null };
}
