// The vectors that all implementations share, and a gateway of a later minor version.

import { type DescMessage, equals, fromBinary, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import * as message from '../src/gen/macula/v1/message_pb.js';
import * as rpc from '../src/gen/macula/v1/rpc_pb.js';
import * as session from '../src/gen/macula/v1/session_pb.js';
import { AckSchema, HelloSchema, PongSchema } from '../src/gen/macula/v1/session_pb.js';
import { connect } from '../src/index.js';
import { matches, patternFault, topicFault } from '../src/names.js';
import { fnv1a64, ownerOf, slotOf, weightOf } from '../src/slot.js';
import { frame, Splitter } from '../src/wire/frames.js';
import { Kind, StreamKind } from '../src/wire/kinds.js';
import framesJson from '../../../proto/vectors/frames.json';
import minorJson from '../../../proto/vectors/next-minor.json';
import slotsJson from '../../../proto/vectors/slots.json';
import topicsJson from '../../../proto/vectors/topics.json';
import { Gateway } from './gateway.js';

interface Says {
  readonly kind: number;
  readonly message: string;
  readonly fields: JsonValue;
}

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** The schema of a message that clients have; those of links have none here. */
function schemaOf(name: string): DescMessage | undefined {
  const schemas: Record<string, unknown> = { ...message, ...rpc, ...session };
  return schemas[`${name}Schema`] as DescMessage | undefined;
}

function split(stream: Uint8Array): { kind: number; body: Uint8Array }[] {
  const frames: { kind: number; body: Uint8Array }[] = [];
  new Splitter().split(stream, (kind, body) => frames.push({ kind, body }));
  return frames;
}

const vectors = framesJson as unknown as {
  frames: (Says & { name: string; hex: string; canonical?: boolean })[];
  streams: { name: string; stream: keyof typeof StreamKind; sender: string; session?: number; hex: string; frames: Says[] }[];
  illegal: { hex: string; reason: string; why: string }[];
};

describe('frames.json', () => {
  const known = vectors.frames.filter((vector) => schemaOf(vector.message) !== undefined);

  test.each(known)('$message: $name', ({ kind, message, fields, hex, canonical }) => {
    const schema = schemaOf(message) as DescMessage;
    const [found, ...rest] = split(bytes(hex));
    expect(rest).toEqual([]);
    expect(found?.kind).toBe(kind);
    const wanted = fromJson(schema, fields);
    const seen = fromBinary(schema, found?.body ?? new Uint8Array(), { readUnknownFields: false });
    expect(equals(schema, seen, wanted)).toBe(true);
    if (canonical !== false) expect(frame(kind, schema, wanted)).toEqual(bytes(hex));
  });

  test('every kind that a client knows is among them', () => {
    const kinds = new Set(known.map(({ kind }) => kind));
    expect(Object.values(Kind).filter((kind) => !kinds.has(kind))).toEqual([]);
  });

  test.each(vectors.streams)('stream: $name', ({ stream, sender, session, hex, frames }) => {
    let rest = bytes(hex);
    if (session !== undefined) rest = rest.subarray(session < 64 ? 3 : 4);
    if (!(stream === 'control' && sender === 'gateway')) {
      expect(rest[0]).toBe(StreamKind[stream]);
      rest = rest.subarray(1);
    }
    expect(split(rest).map(({ kind }) => kind)).toEqual(frames.map(({ kind }) => kind));
  });

  // What is malformed inside of a body is the gateway's to refuse: the library reads some of it with lenience.
  test.each(vectors.illegal.filter(({ reason }) => reason !== 'malformed'))('no frame: $why', ({ hex }) => {
    expect(() => new Splitter().split(bytes(hex), () => undefined)).toThrow(RangeError);
  });

  test('however a stream is cut, its frames are the same', () => {
    const stream = Uint8Array.from(vectors.frames.flatMap(({ hex }) => [...bytes(hex)]));
    const whole = split(stream).map(({ kind, body }) => [kind, body.length]);
    for (const size of [1, 2, 7, 100]) {
      const splitter = new Splitter();
      const seen: number[][] = [];
      for (let at = 0; at < stream.length; at += size) {
        splitter.split(stream.subarray(at, at + size), (kind, body) => seen.push([kind, body.length]));
      }
      expect(seen).toEqual(whole);
    }
  });
});

describe('topics.json', () => {
  const topics = topicsJson as unknown as {
    matches: { pattern: string; topic: string; matches: boolean }[];
    illegal: { topic?: string; pattern?: string; reason: string }[];
  };

  test('what patterns match', () => {
    for (const { pattern, topic, matches: expected } of topics.matches) {
      expect([pattern, patternFault(pattern), topicFault(topic)]).toEqual([pattern, undefined, undefined]);
      expect([pattern, topic, matches(pattern, topic)]).toEqual([pattern, topic, expected]);
    }
  });

  test('what is neither', () => {
    for (const { topic, pattern, reason } of topics.illegal) {
      const found = topic !== undefined ? topicFault(topic) : patternFault(pattern ?? '');
      expect([topic ?? pattern, found]).toEqual([topic ?? pattern, reason]);
    }
  });
});

test('slots.json', () => {
  const slots = slotsJson as unknown as {
    hashes: { text: string; fnv1a64: string }[];
    slots: { key: string; topic: string; slot: number }[];
    weights: { slot: number; member: string; weight: string }[];
    owners: { slot: number; members: string[]; owner: string }[];
  };
  for (const { text, fnv1a64: hash } of slots.hashes) expect(fnv1a64(text)).toBe(BigInt(`0x${hash}`));
  for (const { key, topic, slot } of slots.slots) expect(slotOf(key, topic)).toBe(slot);
  for (const { slot, member, weight } of slots.weights) {
    expect(weightOf(slot, BigInt(member))).toBe(BigInt(`0x${weight}`));
  }
  for (const { slot, members, owner } of slots.owners) expect(ownerOf(slot, members.map(BigInt))).toBe(BigInt(owner));
  expect(ownerOf(0, [])).toBe(undefined);
});

describe('next-minor.json', () => {
  const minor = minorJson as unknown as {
    gateway: { stream: keyof typeof StreamKind; says: string; hex: string }[];
    client_expects: { events: string[]; gaps: number[]; telemetry: string[]; position: number; pong: number };
  };

  test.each([1, 7, 4096])('a gateway of the next minor version, in pieces of %i bytes', async (size) => {
    const gateway = new Gateway();
    const connecting = connect({ url: 'https://localhost:9443', realm: 'test', dial: gateway.dial });
    const session = await gateway.next();
    await session.expect(Kind.hello, HelloSchema);
    const play = (steps: typeof minor.gateway): void => {
      for (const { stream, hex } of steps) {
        const whole = bytes(hex);
        for (let at = 0; at < whole.length; at += size) session.bytes(stream, whole.subarray(at, at + size));
      }
    };
    const [welcome, ...rest] = minor.gateway;
    if (welcome !== undefined) play([welcome]);
    const client = await connecting;
    const subscribing = client.subscribe('news.*');
    play(rest);
    const subscription = await subscribing;

    const { events, telemetry, gaps, position, pong } = minor.client_expects;
    const seen: Record<string, unknown[]> = { event: [], telemetry: [], gap: [] };
    for (let left = events.length + telemetry.length + gaps.length; left > 0; left--) {
      const { value: delivery } = await subscription.next();
      if (delivery?.type === 'message') seen[delivery.class]?.push(delivery.text());
      else if (delivery?.type === 'gap') seen['gap']?.push(delivery.count);
    }
    expect(seen).toEqual({ event: events, telemetry, gap: gaps });
    expect((await session.expect(Kind.pong, PongSchema)).nonce).toBe(BigInt(pong));

    // Asking for more says that all before is dealt with.
    void subscription.next();
    let acknowledged = 0n;
    while (acknowledged < position) acknowledged = (await session.expect(Kind.ack, AckSchema)).position;
    expect(acknowledged).toBe(BigInt(position));
    await client.close();
  });
});

