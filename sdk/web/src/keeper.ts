// Keeps a client connected: says Hello, serves the session, waits when it is lost, and comes back.

import { create } from '@bufbuild/protobuf';
import { Connection, Refusal } from './connection.js';
import type { Core } from './core.js';
import { MaculaError, mayPass } from './error.js';
import { type Hello, HelloSchema, type LastWill } from './gen/macula/v1/session_pb.js';
import { Class } from './gen/macula/v1/types_pb.js';
import { outgoing } from './message.js';
import type { ConnectionEvent, ConnectOptions } from './options.js';
import { webTransport } from './transport.js';
import { Kind } from './wire/kinds.js';

/** Connects, and connects again, until it is stopped or refused for good. */
export class Keeper {
  readonly #options: ConnectOptions;
  readonly #core: Core;
  readonly #tell: (event: ConnectionEvent) => void;
  readonly #urls: readonly string[];
  readonly #publisher: Uint8Array;
  readonly #secret = crypto.getRandomValues(new Uint8Array(16));
  readonly #epoch = BigInt(Date.now());
  #ended: MaculaError | undefined;
  /** Who waits for the next change. */
  #waiters: (() => void)[] = [];

  constructor(options: ConnectOptions, core: Core, tell: (event: ConnectionEvent) => void) {
    this.#options = options;
    this.#core = core;
    this.#tell = tell;
    this.#urls = [options.url].flat().map((url) => new URL(SESSION_PATH, url).href);
    this.#publisher = options.publisher ?? crypto.getRandomValues(new Uint8Array(16));
    if (this.#publisher.length !== 16) throw new MaculaError('INVALID_ARGUMENT', 'a publisher has sixteen bytes');
  }

  /** Connects for the first time, and keeps the connection from then on. Rejects when no gateway can be had. */
  async start(): Promise<void> {
    const connection = await this.#greetAny();
    const { goodbye = this.#options.lastWill === undefined } = this.#options;
    if (goodbye) page.addEventListener?.('pagehide', this.#onPageHide);
    // A promise that never rejects: whatever happens ends the client with an error of its own.
    void this.#keep(connection);
    if (this.#core.connection === undefined) throw this.#ended ?? new MaculaError('UNAVAILABLE', 'lost at once');
  }

  /** Why there will be no connection any more; `undefined` as long as there may be. */
  get ended(): MaculaError | undefined {
    return this.#ended;
  }

  /** Resolves once there is a connection to make calls on; rejects at the deadline, in milliseconds since 1970. */
  async live(deadline: number): Promise<void> {
    while (this.#core.connection === undefined || this.#core.movingMs !== undefined) {
      if (this.#ended !== undefined) throw this.#ended;
      if (Date.now() >= deadline) throw new MaculaError('UNAVAILABLE', 'not connected to a gateway');
      await this.#changed(deadline - Date.now());
    }
  }

  /**
   * Events that the gateway may not have yet would be lost by a goodbye, which may overtake them. A page that comes back, from
   * the browser's cache, connects anew.
   */
  readonly #onPageHide = (): void => {
    if (this.#core.outbox.quiet) this.#core.connection?.part();
  };

  /** Ends everything: after a moment for what is under way, the gateway is told. */
  async stop(): Promise<void> {
    await this.#settleDown(CLOSE_GRACE_MS, () => this.#core.quiet);
    const connection = this.#core.connection;
    this.#end(new MaculaError('CANCELLED', 'the client is closed'), true);
    await connection?.close();
  }

  async #keep(first: Connection): Promise<void> {
    let connection: Connection | undefined = first;
    let backoff = FIRST_BACKOFF_MS;
    while (this.#ended === undefined) {
      let atLeast = 0;
      if (connection !== undefined) {
        const since = Date.now();
        const reason = await this.#serve(connection);
        if (this.#ended !== undefined) return;
        if (this.#final(reason)) return this.#end(reason, false);
        if (Date.now() - since > STABLE_MS) backoff = FIRST_BACKOFF_MS;
        atLeast = this.#core.movingMs ?? 0;
        this.#tell({ type: 'reconnecting', reason: reason.message });
      }
      try {
        await this.#pause(Math.max(atLeast, backoff * (0.5 + Math.random() / 2)));
        backoff = Math.min(backoff * 2, LONGEST_BACKOFF_MS);
        connection = await this.#greetAny();
      } catch (error) {
        connection = undefined;
        if (error instanceof Refusal) backoff = Math.max(backoff, 2 * error.retryAfterMs);
        if (this.#final(error as MaculaError)) return this.#end(error as MaculaError, false);
      }
    }
    connection?.leave();
  }

  async #serve(connection: Connection): Promise<MaculaError> {
    this.#core.open(connection);
    this.#wake();
    const core = this.#core;
    const reason = await connection.run({
      control: (kind, body) => {
        core.control(kind, body);
        if (kind === Kind.moving) void this.#settleDown(LEAVE_GRACE_MS, () => core.idle).then(() => connection.leave());
      },
      received: (name, bytes) => core.received(name, bytes),
      frame: (name, kind, body, size) => core.frame(name, kind, body, size),
    });
    core.lose();
    return reason;
  }

  /** Whether there is no use in trying again. */
  #final(error: MaculaError): boolean {
    if (error.code === 'UNAUTHENTICATED' && typeof this.#options.token === 'function') return false;
    return !mayPass(error);
  }

  /** Tries all gateways in turn. */
  async #greetAny(): Promise<Connection> {
    let last = new MaculaError('INVALID_ARGUMENT', 'no URL to connect to');
    for (const url of this.#urls) {
      try {
        return await this.#greet(url);
      } catch (error) {
        last = error instanceof MaculaError ? error : new MaculaError('UNAVAILABLE', String(error));
      }
    }
    throw last;
  }

  async #greet(url: string): Promise<Connection> {
    const { certificateHashes: hashes = [], connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.#options;
    const hello = await this.#hello();
    const dial = this.#options.dial ?? webTransport(typeof hashes === 'function' ? await hashes() : hashes);
    const transport = dial(url);
    const timer = setTimeout(() => transport.close(), connectTimeoutMs);
    try {
      return await Connection.greet(transport, hello);
    } finally {
      clearTimeout(timer);
    }
  }

  async #hello(): Promise<Hello> {
    const { realm, token, name, resumeMs } = this.#options;
    const [resume, lastWill] = [this.#core.resumption(), this.#will()];
    return create(HelloSchema, {
      versions: [1],
      realm,
      token: typeof token === 'function' ? await token() : (token ?? ''),
      client: name ?? 'macula-web',
      publisher: this.#publisher,
      epoch: this.#epoch,
      secret: this.#secret,
      acknowledges: true,
      resumeMs: resumeMs ?? RESUME_MS,
      windows: this.#core.windows(),
      ...(resume && { resume }),
      ...(lastWill && { lastWill }),
    });
  }

  #will(): Omit<LastWill, '$typeName'> | undefined {
    const will = this.#options.lastWill;
    if (will === undefined) return undefined;
    const wire = will.class === 'telemetry' ? Class.TELEMETRY : Class.EVENT;
    return { class: wire, ...outgoing(will.topic, will.payload, will, this.#core.payloadBytes) };
  }

  /** Waits until nothing is under way, so long at most. */
  async #settleDown(patienceMs: number, settled: () => boolean): Promise<void> {
    const until = Date.now() + patienceMs;
    while (this.#core.connection !== undefined && !settled() && Date.now() < until) await sleep(QUIET_CHECK_MS);
  }

  async #pause(ms: number): Promise<void> {
    const until = Date.now() + ms;
    while (this.#ended === undefined && Date.now() < until) await this.#changed(until - Date.now());
  }

  /** Resolves at the next change, or after so long. */
  #changed(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#waiters.push(() => {
        clearTimeout(timer);
        done();
      });
    });
  }

  #wake(): void {
    for (const done of this.#waiters.splice(0)) done();
  }

  #end(reason: MaculaError, wished: boolean): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    page.removeEventListener?.('pagehide', this.#onPageHide);
    this.#core.end(reason, wished);
    this.#wake();
    this.#tell(wished ? { type: 'closed' } : { type: 'closed', reason: reason.message });
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** The window, where there is one: workers and tests have none. */
const page: Partial<Pick<Window, 'addEventListener' | 'removeEventListener'>> = globalThis;

const SESSION_PATH = '/v1/session';

// The same figures as those of the Rust client.
const RESUME_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
/** How long a connection must have lasted for the next loss to count as the first. */
const STABLE_MS = 5_000;
/** How long a client stays with a gateway that is about to leave. */
const LEAVE_GRACE_MS = 2_000;
const CLOSE_GRACE_MS = 1_000;
const QUIET_CHECK_MS = 20;
