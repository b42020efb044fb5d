// What an application does with a gateway.

import type { Answer, Listener, Result } from './calls.js';
import { Core } from './core.js';
import { MaculaError } from './error.js';
import { Keeper } from './keeper.js';
import { contentType, encoded, headers, outgoing } from './message.js';
import type { CallOptions, ConnectionEvent, ConnectOptions, MessageOptions, Payload, SubscribeOptions } from './options.js';
import type { Published } from './outbox.js';
import type { Subscription } from './subscription.js';

/** A client that is connected, or tries to be. Made by `connect`. */
export class Client {
  readonly #core: Core;
  readonly #keeper: Keeper;

  private constructor(options: ConnectOptions) {
    const tell = (event: ConnectionEvent): void => options.onEvent?.(event);
    this.#core = new Core(options, tell);
    this.#keeper = new Keeper(options, this.#core, tell);
  }

  /** @internal */
  static async connect(options: ConnectOptions): Promise<Client> {
    const client = new Client(options);
    await client.#keeper.start();
    return client;
  }

  /** The gateway's name; `undefined` while there is no connection. */
  get gateway(): string | undefined {
    return this.#core.connection?.welcome.gateway;
  }

  /**
   * Publishes an event. Resolves when the gateway holds it for all receivers; until they have it, the client keeps it and
   * sends it again where a connection or gateway is lost. Waits where too much is not accepted yet.
   */
  async publish(topic: string, payload: Payload, options: MessageOptions = {}): Promise<Published> {
    return this.#core.outbox.publish(outgoing(topic, payload, options, this.#core.payloadBytes));
  }

  /** Publishes telemetry, at most once. False when it was dropped: without a connection, or behind too much. */
  emit(topic: string, payload: Payload, options: MessageOptions = {}): boolean {
    return this.#core.telemetry.emit(outgoing(topic, payload, options, this.#core.payloadBytes));
  }

  /** Subscribes to a pattern; resolves when the gateway has acknowledged it. It outlives lost connections. */
  async subscribe(pattern: string, options: SubscribeOptions = {}): Promise<Subscription> {
    if (this.#keeper.ended !== undefined) throw this.#keeper.ended;
    return this.#core.subscriptions.add(pattern, options);
  }

  /** Calls a procedure for a single result. */
  call(procedure: string, payload: Payload = '', options: CallOptions = {}): Promise<Result> {
    return new Promise((resolve, reject) => {
      const listener: Listener = {
        answer: (answer) => ('result' in answer ? resolve(answer.result) : reject(answer.error)),
        end: (error) => reject(error ?? new MaculaError('INTERNAL', 'the call ended without an answer')),
      };
      this.#start(procedure, payload, options, {}, listener).catch(reject);
    });
  }

  /**
   * Calls a procedure that answers with a stream. Not more than a window of bytes (256 KiB) comes ahead of the loop;
   * leaving the loop cancels the call.
   */
  async *callStream(procedure: string, payload: Payload = '', options: CallOptions = {}): AsyncGenerator<Result, void> {
    let [taken, granted] = [0, STREAM_WINDOW_BYTES];
    for await (const [answer, call] of this.#answers(procedure, payload, options, { credit: BigInt(granted) })) {
      if ('error' in answer) throw answer.error;
      yield answer.result;
      taken += answer.result.payload.length;
      if (taken + STREAM_WINDOW_BYTES - granted >= STREAM_WINDOW_BYTES / 4) {
        granted = taken + STREAM_WINDOW_BYTES;
        this.#core.calls.grant(call, granted);
      }
    }
  }

  /** Asks every provider of a procedure, wherever it is: yields each one's result or error. */
  async *callAll(procedure: string, payload: Payload = '', options: CallOptions = {}): AsyncGenerator<Answer, void> {
    for await (const [answer] of this.#answers(procedure, payload, options, { all: true })) yield answer;
  }

  /** Waits a moment for what is under way, says goodbye, and ends everything: subscriptions end as if they were left. */
  close(): Promise<void> {
    return this.#keeper.stop();
  }

  /** Makes a call once there is a connection; gives its number. */
  async #start(procedure: string, payload: Payload, options: CallOptions, more: More, to: Listener): Promise<bigint> {
    const { signal, timeoutMs = CALL_TIMEOUT_MS } = options;
    const deadline = Date.now() + timeoutMs;
    signal?.throwIfAborted();
    await this.#keeper.live(deadline);
    signal?.throwIfAborted();
    const giveUp = (): void => {
      this.#core.calls.cancel(call);
      to.end(new MaculaError('CANCELLED', 'the call was given up'));
    };
    const listener: Listener = {
      answer: (answer, more) => {
        if (!more) signal?.removeEventListener('abort', giveUp);
        to.answer(answer, more);
      },
      end: (error) => {
        signal?.removeEventListener('abort', giveUp);
        to.end(error);
      },
    };
    const call: bigint = this.#core.calls.start(
      {
        procedure,
        timeoutMs: Math.max(1, deadline - Date.now()),
        payload: encoded(payload),
        contentType: contentType(payload, options.contentType),
        headers: headers(options.headers),
        ...more,
      },
      listener,
    );
    signal?.addEventListener('abort', giveUp, { once: true });
    return call;
  }

  /** The answers to one call, with its number. Whoever stops reading them cancels it. */
  async *#answers(
    procedure: string,
    payload: Payload,
    options: CallOptions,
    more: More,
  ): AsyncGenerator<readonly [Answer, bigint], void> {
    const queue: Answer[] = [];
    let ended = false;
    let failure: MaculaError | undefined;
    let wake = (): void => undefined;
    const call = await this.#start(procedure, payload, options, more, {
      answer: (answer, more) => {
        queue.push(answer);
        ended ||= !more;
        wake();
      },
      end: (error) => {
        failure ??= ended ? undefined : error;
        ended = true;
        wake();
      },
    });
    try {
      for (;;) {
        for (let answer; (answer = queue.shift()) !== undefined; ) yield [answer, call];
        if (failure !== undefined) throw failure;
        if (ended) return;
        await new Promise<void>((done) => {
          wake = done;
        });
      }
    } finally {
      this.#core.calls.cancel(call);
    }
  }
}

/** What makes a call more than one for a single result. */
interface More {
  readonly credit?: bigint;
  readonly all?: boolean;
}

// The same figures as those of the Rust client.
const CALL_TIMEOUT_MS = 30_000;
const STREAM_WINDOW_BYTES = 256 << 10;
