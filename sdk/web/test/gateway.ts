// A gateway in memory: transports whose other end a test plays frame by frame.

import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { HelloSchema, type Hello, type Welcome, WelcomeSchema } from '../src/gen/macula/v1/session_pb.js';
import type { Transport } from '../src/transport.js';
import { frame, Splitter } from '../src/wire/frames.js';
import { type ClassName, Kind, StreamKind } from '../src/wire/kinds.js';

export interface Frame {
  readonly stream: number;
  readonly kind: number;
  readonly body: Uint8Array;
}

type StreamName = keyof typeof StreamKind;

/** One session, seen from the gateway. */
export class Session implements Transport {
  readonly ready = Promise.resolve();
  readonly closed: Promise<{ closeCode: number; reason: string }>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  /** Bytes of frames that came on each stream, without the stream's kind. */
  readonly received = new Map<number, number>();
  isClosed = false;
  readonly #frames: Frame[] = [];
  #waiters: (() => void)[] = [];
  readonly #writers = new Map<StreamName, WritableStreamDefaultWriter<Uint8Array>>();
  #incoming: ReadableStreamDefaultController<ReadableStream<Uint8Array>> | undefined;
  #resolveClosed: (info: { closeCode: number; reason: string }) => void = () => undefined;

  constructor() {
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    this.incomingUnidirectionalStreams = new ReadableStream({ start: (controller) => void (this.#incoming = controller) });
  }

  async createBidirectionalStream(): Promise<{ readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> }> {
    const [up, down] = [pipe(), pipe()];
    this.#writers.set('control', down.writable.getWriter());
    void this.#read(up.readable);
    return { readable: down.readable, writable: up.writable };
  }

  async createUnidirectionalStream(): Promise<WritableStream<Uint8Array>> {
    const { readable, writable } = pipe();
    void this.#read(readable);
    return writable;
  }

  close(): void {
    this.drop(0, '');
  }

  /** Ends the session, as a gateway does or the network. */
  drop(closeCode: number, reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#resolveClosed({ closeCode, reason });
    this.#incoming?.close();
    for (const writer of this.#writers.values()) writer.close().catch(() => undefined);
    this.#wake();
  }

  /** Writes bytes on a stream, which begins with its kind if it is new. */
  bytes(name: StreamName, bytes: Uint8Array): void {
    let writer = this.#writers.get(name);
    if (writer === undefined) {
      const { readable, writable } = pipe();
      this.#incoming?.enqueue(readable);
      writer = writable.getWriter();
      this.#writers.set(name, writer);
      void writer.write(Uint8Array.of(StreamKind[name]));
    }
    writer.write(bytes).catch(() => undefined);
  }

  send<T extends DescMessage>(name: StreamName, kind: number, schema: T, message: MessageInitShape<T>): void {
    this.bytes(name, frame(kind, schema, create(schema, message)));
  }

  /** The next frame of this kind; those before it are passed over. */
  async expect<T extends DescMessage>(kind: number, schema: T): Promise<MessageShape<T>> {
    for (;;) {
      for (let next; (next = this.#frames.shift()) !== undefined; ) {
        if (next.kind === kind) return fromBinary(schema, next.body);
      }
      if (this.isClosed) throw new Error(`the session ended before a frame of kind ${kind}`);
      await new Promise<void>((done) => this.#waiters.push(done));
    }
  }

  /** Answers Hello. */
  async welcome(welcome: MessageInitShape<typeof WelcomeSchema> = {}): Promise<Hello> {
    const hello = await this.expect(Kind.hello, HelloSchema);
    const windows = { rpc: 1n << 20n, event: 1n << 20n, telemetry: 1n << 20n };
    const limits = { payloadBytes: 1000, aliases: 4096 };
    this.send('control', Kind.welcome, WelcomeSchema, {
      version: 1, session: 1n, gateway: 'fake', gatewayEpoch: 1n, windows, limits, resumeMs: 30_000, ...welcome,
    } as Welcome);
    return hello;
  }

  /** Frames that have come and that nobody expected yet. */
  pending(): readonly Frame[] {
    return this.#frames;
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const splitter = new Splitter();
    let kind: number | undefined;
    const reader = stream.getReader();
    for (let next; !(next = await reader.read()).done; ) {
      let chunk = next.value;
      if (kind === undefined) {
        kind = chunk[0] ?? -1;
        chunk = chunk.subarray(1);
      }
      const from = kind;
      this.received.set(from, (this.received.get(from) ?? 0) + chunk.length);
      splitter.split(chunk, (kind, body) => this.#frames.push({ stream: from, kind, body: body.slice() }));
      this.#wake();
    }
  }

  #wake(): void {
    for (const done of this.#waiters.splice(0)) done();
  }
}

/** Hands out sessions, one for each time that the client dials. */
export class Gateway {
  readonly urls: string[] = [];
  readonly #dialled: Session[] = [];
  #waiters: ((session: Session) => void)[] = [];

  readonly dial = (url: string): Session => {
    const session = new Session();
    this.urls.push(url);
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#dialled.push(session);
    else waiter(session);
    return session;
  };

  /** The next session that the client opens. */
  next(): Promise<Session> {
    const session = this.#dialled.shift();
    return session === undefined ? new Promise((resolve) => this.#waiters.push(resolve)) : Promise.resolve(session);
  }
}

/** A stream that never makes its writer wait, as a network would for a while. */
function pipe(): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream(undefined, new CountQueuingStrategy({ highWaterMark: 1000 }), new CountQueuingStrategy({ highWaterMark: 1000 }));
}

export const CLASS_OF: Readonly<Record<ClassName, number>> = { rpc: 1, event: 2, telemetry: 3 };
