// A client against a gateway that the test plays.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  DeliverSchema,
  DroppedSchema,
  GapSchema,
  PublisherAliasSchema,
  PublishSchema,
  ResentSchema,
  RetainedEndSchema,
  TopicAliasSchema,
} from '../src/gen/macula/v1/message_pb.js';
import {
  CallCancelSchema,
  CallCreditSchema,
  CallEndSchema,
  CallErrorSchema,
  CallResultSchema,
  CallSchema,
} from '../src/gen/macula/v1/rpc_pb.js';
import {
  AcceptedSchema,
  AckSchema,
  AcknowledgedSchema,
  CloseSchema,
  CreditSchema,
  HelloSchema,
  MovingSchema,
  PingSchema,
  PongSchema,
  PublishRefusedSchema,
  RefusedSchema,
  SettledSchema,
  SubscribeSchema,
  UnsubscribeSchema,
  type WelcomeSchema,
} from '../src/gen/macula/v1/session_pb.js';
import { Class, Code } from '../src/gen/macula/v1/types_pb.js';
import { type Client, connect, type ConnectionEvent, type ConnectOptions, type Delivery } from '../src/index.js';
import { Kind, StreamKind } from '../src/wire/kinds.js';
import { CLASS_OF, Gateway, type Session } from './gateway.js';

const clients: Client[] = [];
const gateways: Session[] = [];

afterEach(async () => {
  // Gone, they have nobody to say goodbye to.
  for (const session of gateways.splice(0)) session.drop(0, '');
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

/** A client whose session has been welcomed. */
async function welcomed(options: Partial<ConnectOptions> = {}, welcome: MessageInitShape<typeof WelcomeSchema> = {}) {
  const gateway = new Gateway();
  const events: ConnectionEvent[] = [];
  const connecting = connect({
    url: 'https://localhost:9443',
    realm: 'test',
    dial: gateway.dial,
    onEvent: (event) => events.push(event),
    ...options,
  });
  const session = await gateway.next();
  gateways.push(session);
  const hello = await session.welcome(welcome);
  const client = await connecting;
  clients.push(client);
  return { client, gateway, session, hello, events };
}

/** The next session of a client that has lost one. */
async function again(gateway: Gateway, welcome: MessageInitShape<typeof WelcomeSchema>) {
  const session = await gateway.next();
  gateways.push(session);
  const hello = await session.welcome(welcome);
  return { session, hello };
}

/** Subscribes, and acknowledges it. */
async function subscribed(client: Client, session: Session, pattern: string, options = {}) {
  const subscribing = client.subscribe(pattern, options);
  const { subscription } = await session.expect(Kind.subscribe, SubscribeSchema);
  session.send('control', Kind.acknowledged, AcknowledgedSchema, {
    request: { case: 'subscription', value: subscription },
    confirmed: 1,
  });
  return subscribing;
}

/** Tells the aliases that `deliver` uses: two frames. */
function tell(session: Session, stream: 'event' | 'telemetry') {
  session.send(stream, Kind.topicAlias, TopicAliasSchema, { alias: 9, topic: 'a.b', contentType: 'text/plain' });
  session.send(stream, Kind.publisherAlias, PublisherAliasSchema, {
    alias: 8,
    publisher: new Uint8Array(16).fill(0xab),
    epoch: 3n,
  });
}

function deliver(session: Session, stream: 'event' | 'telemetry', sequence: bigint, text: string, more = {}) {
  const message = { payload: new TextEncoder().encode(text), key: 'k', headers: [{ name: 'n', value: 'v' }] };
  const names = { subscriptions: [1], topic: 9, publisher: 8 };
  session.send(stream, Kind.deliver, DeliverSchema, { ...names, sequence, message, ...more });
}

async function take(subscription: AsyncIterator<Delivery, undefined>): Promise<string> {
  const { value } = await subscription.next();
  if (value === undefined) return 'the end';
  if (value.type === 'message') return value.text();
  return 'count' in value ? `${value.type} ${value.count}` : value.type;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'no failure',
    (error: { code?: string }) => error.code,
  );
}

describe('the beginning of a session', () => {
  test('says who the client is and what it takes', async () => {
    const publisher = new Uint8Array(16).fill(7);
    const token = () => Promise.resolve('fresh');
    const { client, gateway, hello } = await welcomed({ publisher, token, name: 'test/1', windows: { event: 1234 } });
    expect(gateway.urls).toEqual(['https://localhost:9443/v1/session']);
    expect(hello).toMatchObject({ versions: [1], realm: 'test', token: 'fresh', client: 'test/1', publisher });
    expect(hello.windows).toMatchObject({ rpc: 1n << 20n, event: 1234n, telemetry: 1n << 20n });
    expect([hello.acknowledges, hello.resumeMs, hello.resume, hello.secret.length]).toEqual([true, 30_000, undefined, 16]);
    expect(client.gateway).toBe('fake');
  });

  test('is refused with the code of the gateway, at the first attempt', async () => {
    const gateway = new Gateway();
    const connecting = connect({ url: 'https://localhost:9443', realm: 'test', dial: gateway.dial });
    const session = await gateway.next();
    await session.expect(Kind.hello, HelloSchema);
    session.send('control', Kind.refused, RefusedSchema, { code: Code.PERMISSION_DENIED, message: 'not you' });
    expect(await failure(connecting)).toBe('PERMISSION_DENIED');
    expect(session.isClosed).toBe(true);
  });

  test('tries the next gateway when one does not answer', async () => {
    const gateway = new Gateway();
    const url = ['https://one:9443', 'https://two:9443'];
    const connecting = connect({ url, realm: 'test', dial: gateway.dial });
    (await gateway.next()).drop(0, '');
    const session = await gateway.next();
    gateways.push(session);
    await session.welcome();
    clients.push(await connecting);
    expect(gateway.urls).toEqual(['https://one:9443/v1/session', 'https://two:9443/v1/session']);
  });
});

describe('publishing', () => {
  test('resolves when the gateway holds the event', async () => {
    const { client, session } = await welcomed();
    const publishing = [client.publish('a.b', 'one', { key: 'k' }), client.publish('a.b', Uint8Array.of(2))];
    const alias = await session.expect(Kind.topicAlias, TopicAliasSchema);
    expect(alias).toMatchObject({ topic: 'a.b', contentType: 'text/plain' });
    const publish = await session.expect(Kind.publish, PublishSchema);
    expect(publish).toMatchObject({ topic: alias.alias, sequence: 1n, report: true });
    expect(publish.message).toMatchObject({ payload: new TextEncoder().encode('one'), key: 'k' });
    const other = await session.expect(Kind.topicAlias, TopicAliasSchema);
    expect([other.topic, other.contentType, other.alias === alias.alias]).toEqual(['a.b', '', false]);
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 1n, matches: 3 });
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 2n, matches: 0 });
    expect(await Promise.all(publishing)).toEqual([{ sequence: 1n, matches: 3 }, { sequence: 2n, matches: 0 }]);
  });

  test('rejects what is refused, and what never could be sent', async () => {
    const { client, session } = await welcomed();
    const publishing = failure(client.publish('a', 'x'));
    await session.expect(Kind.publish, PublishSchema);
    const refused = { class: Class.EVENT, sequence: 1n, code: Code.RESOURCE_EXHAUSTED, message: 'full' };
    session.send('control', Kind.publishRefused, PublishRefusedSchema, refused);
    expect(await publishing).toBe('RESOURCE_EXHAUSTED');
    expect(await failure(client.publish('a.*', 'x'))).toBe('INVALID_ARGUMENT');
    expect(await failure(client.publish('a', new Uint8Array(1001)))).toBe('INVALID_ARGUMENT');
    expect(client.emit('t', 'x')).toBe(true);
    expect((await session.expect(Kind.publish, PublishSchema)).report).toBe(false);
  });

  test('never passes the credit of the gateway', async () => {
    const { client, session } = await welcomed({}, { windows: { rpc: 0n, event: 100n, telemetry: 0n } });
    void client.publish('a', 'x'.repeat(500)).catch(() => undefined);
    await expect.poll(() => session.received.get(CLASS_OF.event)).toBe(100);
    session.send('control', Kind.credit, CreditSchema, { class: Class.EVENT, total: 300n });
    await expect.poll(() => session.received.get(CLASS_OF.event)).toBe(300);
    session.send('control', Kind.credit, CreditSchema, { class: Class.EVENT, total: 10_000n });
    expect((await session.expect(Kind.publish, PublishSchema)).message?.payload.length).toBe(500);
  });

  test('waits when the outbox is full, and lets accepted events leave for new ones', async () => {
    const { client, session } = await welcomed({ outboxBytes: 1000 });
    const order: number[] = [];
    for (const number of [1, 2, 3]) void client.publish('a', 'x'.repeat(400)).then(() => order.push(number), () => undefined);
    await session.expect(Kind.publish, PublishSchema);
    expect(session.pending().filter(({ kind }) => kind === Kind.publish)).toEqual([]);
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 1n, matches: 0 });
    expect((await session.expect(Kind.publish, PublishSchema)).sequence).toBe(2n);
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 2n, matches: 0 });
    expect((await session.expect(Kind.publish, PublishSchema)).sequence).toBe(3n);
    await expect.poll(() => order).toEqual([1, 2]);
  });
});

describe('subscribing', () => {
  test('yields messages, losses and the end of what was kept, in order', async () => {
    const { client, session, events } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*', { retained: true, events: 'drop-oldest' });
    tell(session, 'event');
    deliver(session, 'event', 1n, 'kept', { retained: true });
    session.send('event', Kind.retainedEnd, RetainedEndSchema, { subscription: 1 });
    session.send('event', Kind.gap, GapSchema, { count: 0n });
    const { value } = await subscription.next();
    expect(value).toMatchObject({
      type: 'message', class: 'event', topic: 'a.b', contentType: 'text/plain', key: 'k', sequence: 1n, epoch: 3n,
      publisher: 'ab'.repeat(16), retained: true,
    });
    expect(value?.type === 'message' && value.headers.get('n')).toBe('v');
    expect(await take(subscription)).toBe('gap undefined');
    session.send('telemetry', Kind.retainedEnd, RetainedEndSchema, { subscription: 1 });
    session.send('telemetry', Kind.dropped, DroppedSchema, { count: 5n });
    expect([await take(subscription), await take(subscription)]).toEqual(['retained-end', 'dropped 5']);
    expect(events.map(({ type }) => type)).toEqual(['connected', 'gap', 'dropped']);
  });

  test('is refused with the reason of the gateway', async () => {
    const { client, session } = await welcomed();
    expect(await failure(client.subscribe('a..b'))).toBe('INVALID_ARGUMENT');
    const subscribing = client.subscribe('a');
    const { subscription } = await session.expect(Kind.subscribe, SubscribeSchema);
    session.send('control', Kind.acknowledged, AcknowledgedSchema, {
      request: { case: 'subscription', value: subscription },
      code: Code.PERMISSION_DENIED,
    });
    expect(await failure(subscribing)).toBe('PERMISSION_DENIED');
  });

  test('ends with the loop, and tells the gateway', async () => {
    const { client, session } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*');
    tell(session, 'event');
    deliver(session, 'event', 1n, 'one');
    for await (const delivery of subscription) {
      expect(delivery.type).toBe('message');
      break;
    }
    expect((await session.expect(Kind.unsubscribe, UnsubscribeSchema)).subscription).toBe(1);
    expect(await take(subscription)).toBe('the end');
  });

  test('acknowledges up to what the loop has dealt with', async () => {
    const { client, session } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*');
    tell(session, 'event');
    for (const sequence of [1n, 2n, 3n]) deliver(session, 'event', sequence, 'x');
    expect((await session.expect(Kind.ack, AckSchema)).position).toBe(2n);
    await take(subscription);
    await take(subscription);
    expect((await session.expect(Kind.ack, AckSchema)).position).toBe(3n);
  });

  test('acknowledges what the application says, in order, and the rest when it leaves', async () => {
    const { client, session } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*', { acknowledge: 'manual' });
    tell(session, 'event');
    for (const sequence of [1n, 2n, 3n]) deliver(session, 'event', sequence, 'x');
    const taken = [];
    for (let count = 0; count < 3; count++) taken.push((await subscription.next()).value as Delivery & { type: 'message' });
    taken[1]?.acknowledge();
    expect((await session.expect(Kind.ack, AckSchema)).position).toBe(2n);
    taken[0]?.acknowledge();
    expect((await session.expect(Kind.ack, AckSchema)).position).toBe(4n);
    subscription.unsubscribe();
    expect((await session.expect(Kind.ack, AckSchema)).position).toBe(5n);
  });

  test('grants credit only for what the application has taken', async () => {
    const { client, session } = await welcomed({ windows: { event: 1000 } });
    const subscription = await subscribed(client, session, 'a.*');
    tell(session, 'event');
    for (let sequence = 1n; sequence <= 4n; sequence++) deliver(session, 'event', sequence, 'x'.repeat(200));
    await session.expect(Kind.ack, AckSchema);
    session.send('control', Kind.ping, PingSchema, { nonce: 6n });
    await session.expect(Kind.pong, PongSchema);
    expect(session.pending().filter(({ kind }) => kind === Kind.credit)).toEqual([]);
    // One message of the four is worth a quarter of the window, with the aliases before it.
    await take(subscription);
    const { class: wire, total } = await session.expect(Kind.credit, CreditSchema);
    expect([wire, total > 1250n, total < 1300n]).toEqual([Class.EVENT, true, true]);
  });
});

describe('a lost connection', () => {
  test('is resumed where it stopped', async () => {
    const { client, gateway, session, events, hello: first } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*');
    tell(session, 'event');
    deliver(session, 'event', 1n, 'one');
    expect(await take(subscription)).toBe('one');
    session.drop(0, '');
    const { session: next, hello } = await again(gateway, { session: 2n, resumed: true });
    expect(hello.resume).toMatchObject({ session: 1n, gatewayEpoch: 1n, position: 3n });
    expect([hello.secret, hello.publisher, hello.epoch]).toEqual([first.secret, first.publisher, first.epoch]);
    // The aliases of the event stream stand, and so does the subscription.
    deliver(next, 'event', 2n, 'two');
    expect(await take(subscription)).toBe('two');
    void subscription.next();
    let position = 0n;
    while (position < 4n) ({ position } = await next.expect(Kind.ack, AckSchema));
    expect(next.pending().some(({ kind }) => kind === Kind.subscribe)).toBe(false);
    expect(events.map(({ type }) => type)).toEqual(['connected', 'reconnecting', 'connected']);
    expect(events.at(-1)).toMatchObject({ resumed: true });
  });

  test('is recovered at a gateway that was restarted', async () => {
    const { client, gateway, session } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*', { group: 'g' });
    const publishing = [client.publish('p', '1'), client.publish('p', '2'), client.publish('p', '3')];
    for (let count = 0; count < 3; count++) await session.expect(Kind.publish, PublishSchema);
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 2n });
    session.send('control', Kind.settled, SettledSchema, { sequence: 1n });
    tell(session, 'event');
    deliver(session, 'event', 5n, 'five');
    expect(await take(subscription)).toBe('five');
    session.drop(0, '');

    const { session: next } = await again(gateway, { gatewayEpoch: 2n });
    const subscribe = await next.expect(Kind.subscribe, SubscribeSchema);
    expect(subscribe).toMatchObject({ subscription: 1, pattern: 'a.*', recover: true, group: 'g' });
    expect((await next.expect(Kind.resent, ResentSchema)).sequence).toBe(3n);
    const sequences = [await next.expect(Kind.publish, PublishSchema), await next.expect(Kind.publish, PublishSchema)];
    expect(sequences.map(({ sequence }) => sequence)).toEqual([2n, 3n]);
    next.send('control', Kind.accepted, AcceptedSchema, { sequence: 3n });
    expect((await Promise.all(publishing)).map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n]);

    tell(next, 'event');
    deliver(next, 'event', 9n, 'nine, kept', { retained: true });
    expect(await take(subscription)).toBe('nine, kept');
    deliver(next, 'event', 5n, 'five again', { resent: true });
    deliver(next, 'event', 4n, 'four, of a member that is gone', { resent: true });
    expect(await take(subscription)).toBe('four, of a member that is gone');
    deliver(next, 'event', 6n, 'six', { resent: true });
    expect(await take(subscription)).toBe('six');
    let position = 0n;
    void subscription.next();
    while (position < 6n) ({ position } = await next.expect(Kind.ack, AckSchema));
  });

  test('at the same gateway sends only what it has not accepted', async () => {
    const { client, gateway, session } = await welcomed();
    void client.publish('p', '1').catch(() => undefined);
    const second = client.publish('p', '2');
    await session.expect(Kind.publish, PublishSchema);
    session.drop(0, '');
    const { session: next } = await again(gateway, { accepted: 1n });
    expect((await next.expect(Kind.publish, PublishSchema)).sequence).toBe(2n);
    next.send('control', Kind.accepted, AcceptedSchema, { sequence: 2n, matches: 1 });
    expect(await second).toEqual({ sequence: 2n, matches: 1 });
    expect(next.pending().some(({ kind }) => kind === Kind.resent)).toBe(false);
  });

  test('is a gap of unknown extent at another gateway', async () => {
    const { client, gateway, session } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*');
    session.drop(0, '');
    await again(gateway, { gateway: 'another', gatewayEpoch: 9n });
    expect(await take(subscription)).toBe('gap undefined');
  });

  test('fails the calls that were under way', async () => {
    const { client, session } = await welcomed();
    const calling = failure(client.call('p'));
    await session.expect(Kind.call, CallSchema);
    session.drop(0, '');
    expect(await calling).toBe('UNAVAILABLE');
  });

  test('is final when the gateway says so', async () => {
    const { client, session, events } = await welcomed();
    const subscription = await subscribed(client, session, 'a.*');
    const next = failure(subscription.next());
    const publishing = failure(client.publish('a', 'x'));
    session.send('control', Kind.close, CloseSchema, { code: Code.PERMISSION_DENIED, message: 'revoked' });
    expect(await next).toBe('PERMISSION_DENIED');
    expect(await publishing).toBe('PERMISSION_DENIED');
    expect(events.at(-1)).toMatchObject({ type: 'closed' });
    expect(await failure(client.subscribe('a'))).toBe('PERMISSION_DENIED');
  });

  test('is left in peace when the gateway moves', async () => {
    const { client, gateway, session, events } = await welcomed();
    const first = client.publish('a', '1');
    await session.expect(Kind.publish, PublishSchema);
    session.send('control', Kind.moving, MovingSchema, { retryAfterMs: 1 });
    await expect.poll(() => events.some(({ type }) => type === 'moving')).toBe(true);
    const second = client.publish('a', '2');
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 1n, matches: 0 });
    expect((await first).sequence).toBe(1n);
    expect(session.isClosed).toBe(false);
    session.send('control', Kind.settled, SettledSchema, { sequence: 1n });
    await expect.poll(() => session.isClosed, { timeout: 500 }).toBe(true);
    expect(session.pending().filter(({ kind }) => kind === Kind.publish)).toEqual([]);
    const { session: next } = await again(gateway, { gatewayEpoch: 2n, accepted: 1n });
    expect((await next.expect(Kind.publish, PublishSchema)).sequence).toBe(2n);
    next.send('control', Kind.accepted, AcceptedSchema, { sequence: 2n, matches: 0 });
    expect((await second).sequence).toBe(2n);
  });
});

test('nothing that waits for credit goes to a gateway that moves', async () => {
  const windows = { rpc: 1n << 20n, event: 64n, telemetry: 1n << 20n };
  const { client, gateway, session, events } = await welcomed({}, { windows });
  const publishing = ['1', '2', '3', '4', '5'].map((text) => client.publish('a', text.repeat(20)));
  await expect.poll(() => session.received.get(StreamKind.event)).toBe(64);
  session.send('control', Kind.moving, MovingSchema, { retryAfterMs: 1 });
  await expect.poll(() => events.some(({ type }) => type === 'moving')).toBe(true);
  session.send('control', Kind.credit, CreditSchema, { class: Class.EVENT, total: 1n << 20n });
  await expect.poll(() => session.isClosed, { timeout: 4000 }).toBe(true);
  // The alias, the first, and the second one, which had been begun.
  expect(session.pending().map(({ kind }) => kind).filter((kind) => kind === Kind.publish)).toHaveLength(2);
  const { session: next } = await again(gateway, { gatewayEpoch: 2n });
  for (const sequence of [1n, 2n, 3n, 4n, 5n]) {
    expect((await next.expect(Kind.publish, PublishSchema)).sequence).toBe(sequence);
  }
  next.send('control', Kind.accepted, AcceptedSchema, { sequence: 5n, matches: 0 });
  expect((await Promise.all(publishing)).at(-1)?.sequence).toBe(5n);
});

describe('a page that is left', () => {
  const page = new EventTarget();
  beforeEach(() => {
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page));
  });
  afterEach(() => vi.unstubAllGlobals());

  test('says goodbye at once, and connects anew if it comes back', async () => {
    const { client, gateway, session, events } = await welcomed();
    const publishing = client.publish('a', 'x');
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 1n, matches: 1 });
    await publishing;
    page.dispatchEvent(new Event('pagehide'));
    expect((await session.expect(Kind.close, CloseSchema)).code).toBe(Code.OK);
    session.drop(0, '');
    await again(gateway, { session: 2n });
    await expect.poll(() => events.at(-1)).toMatchObject({ type: 'connected', resumed: false });
  });

  test('says none that could overtake an event', async () => {
    const { client, session } = await welcomed();
    const publishing = client.publish('a', 'x');
    await session.expect(Kind.publish, PublishSchema);
    page.dispatchEvent(new Event('pagehide'));
    session.send('control', Kind.ping, PingSchema, { nonce: 1n });
    await session.expect(Kind.pong, PongSchema);
    expect(session.pending()).toEqual([]);
    session.send('control', Kind.accepted, AcceptedSchema, { sequence: 1n, matches: 0 });
    await publishing;
  });

  test('leaves its last will, if it has one', async () => {
    const { session } = await welcomed({ lastWill: { topic: 'a', payload: 'gone' } });
    page.dispatchEvent(new Event('pagehide'));
    session.send('control', Kind.ping, PingSchema, { nonce: 1n });
    await session.expect(Kind.pong, PongSchema);
    expect(session.pending()).toEqual([]);
  });
});

describe('calling', () => {
  test('gives the result, or the error of the callee', async () => {
    const { client, session } = await welcomed();
    const calling = client.call('p', 'x', { timeoutMs: 1000, headers: { a: 'b' } });
    const call = await session.expect(Kind.call, CallSchema);
    expect(call).toMatchObject({ procedure: 'p', contentType: 'text/plain', headers: [{ name: 'a', value: 'b' }] });
    expect(call.timeoutMs).toBeGreaterThan(900);
    session.send('rpc', Kind.callResult, CallResultSchema, { call: call.call, payload: new TextEncoder().encode('{"a":1}') });
    expect((await calling).json()).toEqual({ a: 1 });
    const failing = client.call('q');
    const other = await session.expect(Kind.call, CallSchema);
    const error = { call: other.call, code: Code.NOT_FOUND, message: 'nobody', details: Uint8Array.of(1) };
    session.send('rpc', Kind.callError, CallErrorSchema, error);
    await expect(failing).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'nobody', details: Uint8Array.of(1) });
  });

  test('can be given up', async () => {
    const { client, session } = await welcomed();
    const giveUp = new AbortController();
    const calling = failure(client.call('p', '', { signal: giveUp.signal }));
    const { call } = await session.expect(Kind.call, CallSchema);
    giveUp.abort();
    expect(await calling).toBe('CANCELLED');
    expect((await session.expect(Kind.callCancel, CallCancelSchema)).call).toBe(call);
  });

  test('takes a stream as fast as the loop, and cancels it when the loop is left', async () => {
    const { client, session } = await welcomed();
    const stream = client.callStream('s');
    const first = stream.next();
    const { call, credit } = await session.expect(Kind.call, CallSchema);
    expect(credit).toBe(262_144n);
    const payload = new Uint8Array(100_000);
    for (const _ of [1, 2]) session.send('rpc', Kind.callResult, CallResultSchema, { call, payload, more: true });
    expect((await first).value?.payload.length).toBe(100_000);
    await stream.next();
    expect((await session.expect(Kind.callCredit, CallCreditSchema)).total).toBe(362_144n);
    await stream.return();
    expect((await session.expect(Kind.callCancel, CallCancelSchema)).call).toBe(call);
  });

  test('ends a stream with its last part', async () => {
    const { client, session } = await welcomed();
    const texts: string[] = [];
    const reading = (async () => {
      for await (const part of client.callStream('s')) texts.push(part.text());
    })();
    const { call } = await session.expect(Kind.call, CallSchema);
    for (const [text, more] of [['a', true], ['b', false]] as const) {
      session.send('rpc', Kind.callResult, CallResultSchema, { call, payload: new TextEncoder().encode(text), more });
    }
    await reading;
    expect(texts).toEqual(['a', 'b']);
    expect(session.pending().some(({ kind }) => kind === Kind.callCancel)).toBe(false);
  });

  test('gathers the answers of all providers', async () => {
    const { client, session } = await welcomed();
    const gathering = (async () => {
      const answers: string[] = [];
      for await (const answer of client.callAll('p')) {
        answers.push(`${answer.provider} ${'result' in answer ? answer.result.text() : answer.error.code}`);
      }
      return answers;
    })();
    const { call, all } = await session.expect(Kind.call, CallSchema);
    expect(all).toBe(true);
    const [one, two] = [Uint8Array.of(1), Uint8Array.of(2)];
    session.send('rpc', Kind.callResult, CallResultSchema, { call, payload: Uint8Array.of(0x61), more: true, provider: one });
    session.send('rpc', Kind.callError, CallErrorSchema, { call, code: Code.DEADLINE_EXCEEDED, provider: two });
    session.send('rpc', Kind.callEnd, CallEndSchema, { call, answers: 2 });
    expect(await gathering).toEqual(['01 a', '02 DEADLINE_EXCEEDED']);
  });
});

test('closing says goodbye once everything is accepted', async () => {
  const { client, session, events } = await welcomed();
  const subscription = await subscribed(client, session, 'a.*');
  const publishing = client.publish('a', 'x');
  await session.expect(Kind.publish, PublishSchema);
  const closing = client.close();
  session.send('control', Kind.accepted, AcceptedSchema, { sequence: 1n, matches: 0 });
  expect((await publishing).sequence).toBe(1n);
  expect((await session.expect(Kind.close, CloseSchema)).code).toBe(Code.OK);
  session.drop(0, '');
  await closing;
  expect(await take(subscription)).toBe('the end');
  expect(events.at(-1)).toEqual({ type: 'closed' });
});
