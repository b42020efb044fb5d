// Reads the frames of an event or telemetry stream and hands messages to their subscriptions.

import { fromBinary } from '@bufbuild/protobuf';
import type { Acks, Place } from './acks.js';
import type { Delivery, Message } from './delivery.js';
import type { Inflow } from './flow.js';
import {
  type Deliver,
  DeliverSchema,
  DroppedSchema,
  GapSchema,
  PublisherAliasSchema,
  RetainedEndSchema,
  TopicAliasSchema,
} from './gen/macula/v1/message_pb.js';
import { hex } from './hex.js';
import type { Seen } from './seen.js';
import { Queued } from './subscription.js';
import { Kind, skip } from './wire/kinds.js';

/** Where deliveries go. */
export interface Sink {
  /**
   * Takes a delivery for a subscription; `manual` tells whether the application acknowledges by itself, `shared` whether it
   * is a member of a group.
   */
  wanted(
    subscription: number,
  ): { readonly manual: boolean; readonly shared: boolean; push(queued: Queued): void } | undefined;
  /** A loss, which any subscription may have suffered. */
  lost(loss: Delivery & { type: 'gap' | 'dropped' }): void;
  /** The kept values of this class have come. */
  retainedEnd(subscription: number, place: 'event' | 'telemetry'): void;
  /** Something has been taken or dealt with: credit or an acknowledgement may be due. */
  progressed(): void;
}

/** The receiving end of one class of a session. */
export class Intake {
  readonly #class: 'event' | 'telemetry';
  readonly #inflow: Inflow;
  readonly #seen: Seen;
  readonly #sink: Sink;
  /** Positions, which telemetry does not have. */
  readonly #acks: Acks | undefined;
  readonly #topics = new Map<number, { topic: string; contentType: string }>();
  readonly #publishers = new Map<number, { publisher: string; epoch: bigint }>();

  constructor(name: 'event' | 'telemetry', inflow: Inflow, seen: Seen, sink: Sink, acks?: Acks) {
    this.#class = name;
    this.#inflow = inflow;
    this.#seen = seen;
    this.#sink = sink;
    this.#acks = acks;
  }

  /** A stream that begins anew: nothing has been told on it. */
  restart(): void {
    this.#topics.clear();
    this.#publishers.clear();
    this.#acks?.restart();
  }

  /** Takes a frame of `size` bytes. */
  take(kind: number, body: Uint8Array, size: number): void {
    if (kind === Kind.deliver) this.#deliver(fromBinary(DeliverSchema, body), size);
    else {
      this.#other(kind, body);
      this.#acks?.receive(0);
    }
  }

  #deliver(deliver: Deliver, size: number): void {
    const topic = this.#topics.get(deliver.topic);
    const publisher = this.#publishers.get(deliver.publisher);
    if (topic === undefined || publisher === undefined) {
      throw new RangeError('a delivery names an alias that was never told');
    }
    const run = `${publisher.publisher}/${publisher.epoch}`;
    const wanted = deliver.subscriptions.map((number) => this.#sink.wanted(number)).filter((to) => to !== undefined);
    const news = this.#class !== 'event' || this.#isNews(deliver, run, wanted[0]?.shared === true);
    const place = this.#acks?.receive(news ? wanted.length : 0);
    if (!news) return;
    for (const to of wanted) {
      this.#inflow.hold(size);
      to.push(this.#queued(deliver, { ...topic, ...publisher }, to.manual, size, place));
    }
  }

  /** Takes note of an event; true when it is to be handed over. */
  #isNews({ retained, resent, sequence, subscriptions }: Deliver, run: string, shared: boolean): boolean {
    // Kept values come out of the order of their publishers; one that a store has brought late may be older.
    if (retained) return !resent || !this.#seen.passed(run, sequence);
    // What a group is given comes in a frame of its own.
    const number = subscriptions[0];
    return shared && number !== undefined
      ? this.#seen.admitShared(number, run, sequence, resent)
      : this.#seen.admit(run, sequence, resent);
  }

  #queued(
    deliver: Deliver,
    names: { topic: string; contentType: string; publisher: string; epoch: bigint },
    manual: boolean,
    size: number,
    place: Place | undefined,
  ): Queued {
    const payload = deliver.message?.payload ?? new Uint8Array();
    const message: Message = {
      type: 'message',
      class: this.#class,
      ...names,
      payload,
      key: deliver.message?.key ?? '',
      headers: new Map(deliver.message?.headers.map(({ name, value }) => [name, value])),
      sequence: deliver.sequence,
      retained: deliver.retained,
      text: () => new TextDecoder().decode(payload),
      json: () => JSON.parse(new TextDecoder().decode(payload)) as unknown,
      acknowledge: () => {
        if (manual) queued.done();
      },
    };
    const release = (): void => {
      this.#inflow.release(size);
      this.#sink.progressed();
    };
    const done = (): void => {
      if (place === undefined) return;
      this.#acks?.done(place);
      this.#sink.progressed();
    };
    const queued = new Queued(message, release, done, manual);
    return queued;
  }

  #other(kind: number, body: Uint8Array): void {
    switch (kind) {
      case Kind.topicAlias: {
        const { alias, topic, contentType } = fromBinary(TopicAliasSchema, body);
        this.#topics.set(alias, { topic, contentType });
        break;
      }
      case Kind.publisherAlias: {
        const { alias, publisher, epoch } = fromBinary(PublisherAliasSchema, body);
        this.#publishers.set(alias, { publisher: hex(publisher), epoch });
        break;
      }
      case Kind.gap: {
        const count = Number(fromBinary(GapSchema, body).count);
        this.#sink.lost({ type: 'gap', count: count === 0 ? undefined : count });
        break;
      }
      case Kind.dropped:
        this.#sink.lost({ type: 'dropped', count: Number(fromBinary(DroppedSchema, body).count) });
        break;
      case Kind.retainedEnd:
        this.#sink.retainedEnd(fromBinary(RetainedEndSchema, body).subscription, this.#class);
        break;
      case Kind.expired:
        break;
      default:
        skip(kind);
    }
  }
}
