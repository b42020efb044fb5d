// One session with a gateway, from Hello to its end: streams out, streams in, and whether anybody is there.

import { create, type DescMessage, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { errorOf, MaculaError } from './error.js';
import { Outlet } from './flow.js';
import {
  CloseSchema,
  type Hello,
  HelloSchema,
  PingSchema,
  PongSchema,
  RefusedSchema,
  type Welcome,
  WelcomeSchema,
} from './gen/macula/v1/session_pb.js';
import { Code } from './gen/macula/v1/types_pb.js';
import type { Transport } from './transport.js';
import { frame, Splitter } from './wire/frames.js';
import { type ClassName, Kind, StreamKind } from './wire/kinds.js';

/** A gateway that does not want the session, and perhaps when to ask again. */
export class Refusal extends MaculaError {
  readonly retryAfterMs: number;

  constructor(error: MaculaError, retryAfterMs: number) {
    super(error.code, error.message, error.details);
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a connection brings. An exception ends it. */
export interface Handlers {
  /** A frame of the control stream, save those that concern the connection alone. */
  control(kind: number, body: Uint8Array): void;
  /** Bytes of a class stream have come; their frames follow. */
  received(name: ClassName, bytes: number): void;
  frame(name: ClassName, kind: number, body: Uint8Array, size: number): void;
}

/** A session that was welcomed. */
export class Connection {
  readonly welcome: Welcome;
  readonly outlets: Readonly<Record<ClassName, Outlet>>;
  readonly #transport: Transport;
  readonly #control: WritableStreamDefaultWriter<Uint8Array>;
  readonly #frames: AsyncIterator<Frame>;
  #heard = true;

  private constructor(
    transport: Transport,
    control: WritableStreamDefaultWriter<Uint8Array>,
    frames: AsyncIterator<Frame>,
    welcome: Welcome,
  ) {
    this.welcome = welcome;
    this.#transport = transport;
    this.#control = control;
    this.#frames = frames;
    const open = (): Promise<WritableStream<Uint8Array>> => transport.createUnidirectionalStream();
    const outlet = (name: ClassName): Outlet => new Outlet(StreamKind[name], welcome.windows?.[name] ?? 0n, open);
    this.outlets = { rpc: outlet('rpc'), event: outlet('event'), telemetry: outlet('telemetry') };
  }

  /** Says Hello on a fresh transport. Throws a `Refusal`, or `UNAVAILABLE`. */
  static async greet(transport: Transport, hello: Hello): Promise<Connection> {
    const closed = transport.closed.then(({ closeCode, reason }) => {
      // The frame that says why may have been lost on the way.
      throw closeCode ? new Refusal(errorOf(closeCode, reason ?? ''), 0) : lost(closeCode, reason);
    });
    try {
      return await Promise.race([closed, Connection.#greeted(transport, hello)]);
    } catch (error) {
      transport.close();
      if (error instanceof Refusal) throw error;
      throw new MaculaError('UNAVAILABLE', `no session with the gateway: ${textOf(error)}`);
    }
  }

  static async #greeted(transport: Transport, hello: Hello): Promise<Connection> {
    await transport.ready;
    const { readable, writable } = await transport.createBidirectionalStream();
    const control = writable.getWriter();
    await control.write(Uint8Array.of(StreamKind.control));
    await control.write(frame(Kind.hello, HelloSchema, hello));
    const frames = read(readable);
    const first = await frames.next();
    if (first.done === true) throw new Error('it ended the control stream without a word');
    const { kind, body } = first.value;
    if (kind === Kind.welcome) return new Connection(transport, control, frames, fromBinary(WelcomeSchema, body));
    if (kind !== Kind.refused) throw new Error(`it answered Hello with a frame of kind ${kind}`);
    const { code, message, retryAfterMs } = fromBinary(RefusedSchema, body);
    throw new Refusal(errorOf(code, message), retryAfterMs);
  }

  /** Sends a control frame. */
  send<T extends DescMessage>(kind: number, schema: T, message: MessageInitShape<T>): void {
    // A failure is that of the connection, which `run` reports.
    this.#control.write(frame(kind, schema, create(schema, message))).catch(() => undefined);
  }

  /** Serves the session until it ends; resolves to the reason. */
  async run(handlers: Handlers): Promise<MaculaError> {
    const ending = Promise.race([
      this.#transport.closed.then(({ closeCode, reason }) => lost(closeCode, reason), (error) => lost(0, textOf(error))),
      this.#readControl(handlers),
      this.#accept(handlers),
      this.#watch(),
    ]);
    const reason = await ending.catch((error) => (error instanceof MaculaError ? error : lost(0, textOf(error))));
    for (const outlet of Object.values(this.outlets)) outlet.abandon();
    clearInterval(this.#ticks);
    this.#transport.close();
    return reason;
  }

  /** Says goodbye, so that the gateway does not keep the session. */
  async close(): Promise<void> {
    this.send(Kind.close, CloseSchema, { code: Code.OK });
    const patience = new Promise((done) => setTimeout(done, GOODBYE_MS));
    await Promise.race([this.#control.close().then(() => this.#transport.closed), patience]).catch(() => undefined);
    this.#transport.close();
  }

  /** Says goodbye without waiting for anything: the page is about to be gone. */
  part(): void {
    this.send(Kind.close, CloseSchema, { code: Code.OK });
    this.#control.close().catch(() => undefined);
  }

  /** Leaves without a word: the gateway may keep the session. */
  leave(): void {
    this.#transport.close();
  }

  async #readControl(handlers: Handlers): Promise<MaculaError> {
    for (;;) {
      const next = await this.#frames.next();
      if (next.done === true) return lost(0, 'the gateway has ended the control stream');
      const { kind, body } = next.value;
      this.#heard = true;
      if (kind === Kind.ping) {
        this.send(Kind.pong, PongSchema, { nonce: fromBinary(PingSchema, body).nonce });
      } else if (kind === Kind.close) {
        const { code, message } = fromBinary(CloseSchema, body);
        return errorOf(code, `the gateway ends the session: ${message}`);
      } else if (kind !== Kind.pong) {
        handlers.control(kind, body);
      }
    }
  }

  async #accept(handlers: Handlers): Promise<MaculaError> {
    const streams = this.#transport.incomingUnidirectionalStreams.getReader();
    return new Promise((resolve, reject) => {
      const accept = async (): Promise<void> => {
        for (let next; !(next = await streams.read()).done; ) {
          this.#readClass(next.value, handlers).catch(reject);
        }
        resolve(lost(0, 'the gateway opens no more streams'));
      };
      accept().catch(reject);
    });
  }

  async #readClass(stream: ReadableStream<Uint8Array>, handlers: Handlers): Promise<void> {
    const reader = stream.getReader();
    const splitter = new Splitter();
    let name: ClassName | undefined;
    for (let next; !(next = await reader.read()).done; ) {
      this.#heard = true;
      let chunk = next.value;
      if (name === undefined) {
        if (chunk.length === 0) continue;
        name = CLASSES.find((known) => StreamKind[known] === chunk[0]);
        if (name === undefined) throw new RangeError(`a stream of kind ${chunk[0]}`);
        chunk = chunk.subarray(1);
      }
      const to = name;
      handlers.received(to, chunk.length);
      splitter.split(chunk, (kind, body, size) => handlers.frame(to, kind, body, size));
    }
  }

  #ticks: ReturnType<typeof setInterval> | undefined;

  /** Resolves when the gateway has been silent for too long. Ticks that a sleeping page left out are not made up for. */
  #watch(): Promise<MaculaError> {
    let silent = 0;
    return new Promise((resolve) => {
      this.#ticks = setInterval(() => {
        silent = this.#heard ? 0 : silent + 1;
        this.#heard = false;
        if (silent > SILENT_TICKS) resolve(lost(0, 'the gateway has fallen silent'));
        else if (silent > 0) this.send(Kind.ping, PingSchema, { nonce: 0n });
      }, TICK_MS);
    });
  }
}

interface Frame {
  readonly kind: number;
  readonly body: Uint8Array;
}

async function* read(stream: ReadableStream<Uint8Array>): AsyncGenerator<Frame, undefined> {
  const splitter = new Splitter();
  const reader = stream.getReader();
  for (let next; !(next = await reader.read()).done; ) {
    const frames: Frame[] = [];
    splitter.split(next.value, (kind, body) => frames.push({ kind, body }));
    yield* frames;
  }
  return undefined;
}

function lost(code: number | undefined, reason: string | undefined): MaculaError {
  if (code !== undefined && code !== 0) return errorOf(code, reason ?? '');
  return new MaculaError('UNAVAILABLE', reason === undefined || reason === '' ? 'the connection was lost' : reason);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const CLASSES: readonly ClassName[] = ['rpc', 'event', 'telemetry'];
/** How often it is looked whether the gateway has said something, and how many silent ticks are its end. */
const TICK_MS = 2_000;
const SILENT_TICKS = 3;
/** How long the gateway may take to say goodbye. */
const GOODBYE_MS = 500;
