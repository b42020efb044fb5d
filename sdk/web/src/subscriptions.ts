// The subscriptions of a client, by their numbers: what has to be made anew after a reconnect.

import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import type { Delivery } from './delivery.js';
import { errorOf, MaculaError } from './error.js';
import { type Acknowledged, type Subscribe, SubscribeSchema, UnsubscribeSchema } from './gen/macula/v1/session_pb.js';
import { Code, Scope } from './gen/macula/v1/types_pb.js';
import { patternFault } from './names.js';
import { OVERFLOW, SHARE, type SubscribeOptions } from './options.js';
import { Queued, Subscription } from './subscription.js';
import { Kind } from './wire/kinds.js';

/** Sends a control frame on the connection of now, if there is one. */
type Send = <T extends DescMessage>(kind: number, schema: T, message: MessageInitShape<T>) => void;

interface Entry {
  readonly request: Subscribe;
  readonly subscription: Subscription;
  readonly manual: boolean;
  /** Who waits for the first acknowledgement; none once it has come. */
  asked: { resolve(subscription: Subscription): void; reject(error: MaculaError): void } | undefined;
  /** Classes whose kept values have not all come. */
  retained: Set<'event' | 'telemetry'>;
}

/** All subscriptions of a client. */
export class Subscriptions {
  readonly #send: Send;
  readonly #entries = new Map<number, Entry>();
  /** Ended lately; a gateway that lost the connection before it heard of it still has them. */
  readonly #gone = new Set<number>();
  #last = 0;
  #connected = false;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Asks for a subscription; resolves at its acknowledgement. */
  add(pattern: string, options: SubscribeOptions): Promise<Subscription> {
    const fault = patternFault(pattern);
    if (fault !== undefined) {
      return Promise.reject(new MaculaError('INVALID_ARGUMENT', `\`${pattern}\` is no pattern: ${fault}`));
    }
    const number = ++this.#last;
    const request = create(SubscribeSchema, {
      subscription: number,
      pattern,
      retained: options.retained ?? false,
      echo: options.echo ?? false,
      events: OVERFLOW[options.events ?? 'default'],
      telemetry: OVERFLOW[options.telemetry ?? 'default'],
      blockMs: options.blockMs ?? 0,
      scope: options.scope === 'mesh' ? Scope.MESH : Scope.LOCAL,
      group: options.group ?? '',
      share: SHARE[options.share ?? 'hash'],
    });
    return new Promise((resolve, reject) => {
      const subscription = new Subscription(pattern, () => this.#leave(number));
      const manual = options.acknowledge === 'manual';
      const retained = new Set<'event' | 'telemetry'>(request.retained ? ['event', 'telemetry'] : []);
      this.#entries.set(number, { request, subscription, manual, asked: { resolve, reject }, retained });
      this.#ask(request);
    });
  }

  /** Where deliveries for a number go. */
  find(
    number: number,
  ): { readonly manual: boolean; readonly shared: boolean; push(queued: Queued): void } | undefined {
    const entry = this.#entries.get(number);
    if (entry === undefined) return undefined;
    const shared = entry.request.group !== '';
    return { manual: entry.manual, shared, push: (queued) => entry.subscription.push(queued) };
  }

  /** Tells every subscription, in the order of its deliveries. */
  tell(delivery: Delivery): void {
    for (const { subscription } of this.#entries.values()) subscription.push(new Queued(delivery));
  }

  retainedEnd(number: number, name: 'event' | 'telemetry'): void {
    const entry = this.#entries.get(number);
    if (entry?.retained.delete(name) === true && entry.retained.size === 0) {
      entry.subscription.push(new Queued({ type: 'retained-end' }));
    }
  }

  /** A connection. Resumed, what was acknowledged stands; else everything is asked for anew. */
  open(resumed: boolean, moved: boolean): void {
    this.#connected = true;
    for (const entry of this.#entries.values()) {
      const stood = entry.asked === undefined;
      if (resumed && stood) continue;
      entry.retained = new Set(entry.request.retained ? ['event', 'telemetry'] : []);
      if (stood && moved) entry.subscription.push(new Queued({ type: 'gap', count: undefined }));
      this.#ask(stood ? { ...entry.request, recover: true } : entry.request);
    }
    if (resumed) for (const subscription of this.#gone) this.#send(Kind.unsubscribe, UnsubscribeSchema, { subscription });
    this.#gone.clear();
  }

  acknowledge({ request, code, message }: Acknowledged): void {
    if (request.case !== 'subscription') return;
    const entry = this.#entries.get(request.value);
    if (entry === undefined) return;
    const { asked, subscription } = entry;
    if (code === Code.OK) {
      entry.asked = undefined;
      asked?.resolve(subscription);
    } else if (asked !== undefined) {
      this.#entries.delete(request.value);
      asked.reject(errorOf(code, message));
    } else if (code === Code.RESOURCE_EXHAUSTED || code === Code.UNAVAILABLE) {
      // It stood before, and what is in its way may pass.
      setTimeout(() => this.#entries.has(request.value) && this.#ask({ ...entry.request, recover: true }), RETRY_MS);
    } else {
      this.#entries.delete(request.value);
      subscription.end(errorOf(code, message));
    }
  }

  /** No connection will come any more. Without an error the loops end as if they had been left. */
  close(error: MaculaError | undefined): void {
    for (const { asked, subscription } of this.#entries.values()) {
      asked?.reject(error ?? new MaculaError('CANCELLED', 'the client is closed'));
      subscription.end(error);
    }
    this.#entries.clear();
  }

  #ask(request: Subscribe): void {
    this.#send(Kind.subscribe, SubscribeSchema, request);
  }

  #leave(subscription: number): void {
    if (!this.#entries.delete(subscription) || !this.#connected) return;
    this.#gone.add(subscription);
    for (const oldest of this.#gone) {
      if (this.#gone.size <= GONE) break;
      this.#gone.delete(oldest);
    }
    this.#send(Kind.unsubscribe, UnsubscribeSchema, { subscription });
  }
}

/** Ended subscriptions that a resumed session is told of again; the gateway has heard of those before them. A guess. */
const GONE = 1_000;
/** How long until a gateway is asked again for what it refused to restore. A guess, not measured. */
const RETRY_MS = 1_000;
