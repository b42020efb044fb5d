// What a client keeps from one connection to the next, and what it makes of the frames that a connection brings.

import { fromBinary } from '@bufbuild/protobuf';
import { Acks } from './acks.js';
import { Aliases } from './aliases.js';
import { Calls } from './calls.js';
import type { Connection, Handlers } from './connection.js';
import type { Delivery } from './delivery.js';
import { errorOf, type MaculaError } from './error.js';
import { Inflow } from './flow.js';
import {
  AcceptedSchema,
  AckSchema,
  AcknowledgedSchema,
  CreditSchema,
  MovingSchema,
  PublishRefusedSchema,
  SettledSchema,
} from './gen/macula/v1/session_pb.js';
import { Class } from './gen/macula/v1/types_pb.js';
import { Intake } from './intake.js';
import type { ConnectionEvent, ConnectOptions } from './options.js';
import { Outbox } from './outbox.js';
import { Seen } from './seen.js';
import { Subscriptions } from './subscriptions.js';
import { Telemetry } from './telemetry.js';
import { type ClassName, Kind, skip } from './wire/kinds.js';

/** The state of a client. */
export class Core implements Handlers {
  readonly outbox: Outbox;
  readonly telemetry = new Telemetry();
  readonly calls = new Calls();
  readonly subscriptions: Subscriptions;
  /** The largest payload that the gateway takes. */
  payloadBytes = DEFAULT_PAYLOAD_BYTES;
  /** Set while the gateway is about to leave: when to come back. */
  movingMs: number | undefined;
  readonly #tell: (event: ConnectionEvent) => void;
  readonly #inflows: Readonly<Record<ClassName, Inflow>>;
  readonly #acks = new Acks();
  readonly #intakes: { readonly event: Intake; readonly telemetry: Intake };
  /** The session that may go on. */
  #session: { readonly session: bigint; readonly gateway: string; readonly gatewayEpoch: bigint } | undefined;
  #connection: Connection | undefined;
  #acknowledged = 0;
  #unacknowledgedBytes = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectOptions, tell: (event: ConnectionEvent) => void) {
    this.#tell = tell;
    const inflow = (name: ClassName): Inflow => new Inflow(options.windows?.[name] ?? WINDOW_BYTES);
    this.#inflows = { rpc: inflow('rpc'), event: inflow('event'), telemetry: inflow('telemetry') };
    this.outbox = new Outbox(options.outboxBytes ?? OUTBOX_BYTES);
    this.subscriptions = new Subscriptions((kind, schema, message) => this.#connection?.send(kind, schema, message));
    const sink = {
      wanted: (number: number) => this.subscriptions.find(number),
      lost: (loss: Delivery & { type: 'gap' | 'dropped' }) => {
        this.subscriptions.tell(loss);
        tell(loss);
      },
      retainedEnd: (number: number, name: 'event' | 'telemetry') => this.subscriptions.retainedEnd(number, name),
      progressed: () => this.#progressed(),
    };
    const seen = new Seen(() => Date.now());
    this.#intakes = {
      event: new Intake('event', this.#inflows.event, seen, sink, this.#acks),
      telemetry: new Intake('telemetry', this.#inflows.telemetry, seen, sink),
    };
  }

  /** The connection of now. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** True when no event waits to be accepted and no call to be answered. */
  get quiet(): boolean {
    return this.outbox.quiet && this.calls.quiet;
  }

  /** True when, besides, nobody needs any event that was sent. */
  get idle(): boolean {
    return this.outbox.idle && this.calls.quiet;
  }

  /** The credit to begin a connection with. */
  windows(): Readonly<Record<ClassName, bigint>> {
    const { rpc, event, telemetry } = this.#inflows;
    return { rpc: rpc.restart(), event: event.restart(), telemetry: telemetry.restart() };
  }

  /** Where the session stopped; `undefined` before the first. */
  resumption(): { session: bigint; gatewayEpoch: bigint; position: bigint } | undefined {
    if (this.#session === undefined) return undefined;
    const { session, gatewayEpoch } = this.#session;
    return { session, gatewayEpoch, position: BigInt(this.#acks.position) };
  }

  /** A connection: what stood before is made anew, or goes on. */
  open(connection: Connection): void {
    const { session, gateway, gatewayEpoch, limits, ...welcome } = connection.welcome;
    const before = this.#session;
    const resumed = welcome.resumed && gatewayEpoch === before?.gatewayEpoch;
    this.#session = { session, gateway, gatewayEpoch };
    this.#connection = connection;
    this.movingMs = undefined;
    this.payloadBytes = limits?.payloadBytes ?? DEFAULT_PAYLOAD_BYTES;
    this.#intakes.telemetry.restart();
    if (!resumed) this.#intakes.event.restart();
    // What was told last may have been lost.
    this.#acknowledged = 0;
    const { rpc, event, telemetry } = connection.outlets;
    const aliases = (): Aliases => new Aliases(limits?.aliases ?? DEFAULT_ALIASES);
    this.calls.open(rpc);
    this.telemetry.open({ outlet: telemetry, aliases: aliases() });
    this.subscriptions.open(resumed, before !== undefined && before.gateway !== gateway);
    this.outbox.open({ outlet: event, aliases: aliases() }, connection.welcome);
    this.#tell({ type: 'connected', gateway, resumed });
    this.#progressed();
  }

  /** The connection is lost. */
  lose(): void {
    this.#connection = undefined;
    this.telemetry.lose();
    this.outbox.lose();
    this.calls.lose();
  }

  /** No connection will come any more; without an error because the application wished so. */
  end(reason: MaculaError, wished: boolean): void {
    clearTimeout(this.#ackTimer);
    this.lose();
    this.outbox.close(reason);
    this.subscriptions.close(wished ? undefined : reason);
  }

  control(kind: number, body: Uint8Array): void {
    switch (kind) {
      case Kind.acknowledged:
        this.subscriptions.acknowledge(fromBinary(AcknowledgedSchema, body));
        break;
      case Kind.accepted: {
        const { sequence, matches } = fromBinary(AcceptedSchema, body);
        this.outbox.accept(sequence, matches);
        break;
      }
      case Kind.settled:
        this.outbox.settle(fromBinary(SettledSchema, body).sequence);
        break;
      case Kind.publishRefused: {
        const refused = fromBinary(PublishRefusedSchema, body);
        if (refused.class === Class.EVENT) {
          this.outbox.refuse(refused.sequence, errorOf(refused.code, refused.message));
        }
        break;
      }
      case Kind.credit: {
        const credit = fromBinary(CreditSchema, body);
        const name = CLASS_NAMES[credit.class];
        if (name === undefined) throw new RangeError('credit for no class');
        this.#connection?.outlets[name].grant(credit.total);
        break;
      }
      case Kind.moving:
        this.movingMs = fromBinary(MovingSchema, body).retryAfterMs;
        this.outbox.hold();
        this.#tell({ type: 'moving', retryAfterMs: this.movingMs });
        break;
      default:
        skip(kind);
    }
  }

  received(name: ClassName, bytes: number): void {
    this.#inflows[name].receive(bytes);
    if (name === 'event') this.#unacknowledgedBytes += bytes;
    // After the frames of these bytes.
    queueMicrotask(() => this.#progressed());
  }

  frame(name: ClassName, kind: number, body: Uint8Array, size: number): void {
    if (name === 'rpc') this.calls.take(kind, body);
    else this.#intakes[name].take(kind, body, size);
  }

  /** Grants credit and acknowledges, where that is due. */
  #progressed(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    for (const [name, wire] of CLASSES) {
      const total = this.#inflows[name].due();
      if (total !== undefined) connection.send(Kind.credit, CreditSchema, { class: wire, total });
    }
    if (this.#acks.acknowledged() <= this.#acknowledged) return;
    if (this.#unacknowledgedBytes >= this.#inflows.event.window / 4) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_DELAY_MS);
  }

  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    const position = this.#acks.acknowledged();
    if (this.#connection === undefined || position <= this.#acknowledged) return;
    [this.#acknowledged, this.#unacknowledgedBytes] = [position, 0];
    this.#connection.send(Kind.ack, AckSchema, { position: BigInt(position) });
  }
}

const CLASSES = [
  ['rpc', Class.RPC],
  ['event', Class.EVENT],
  ['telemetry', Class.TELEMETRY],
] as const;
const CLASS_NAMES: readonly (ClassName | undefined)[] = [undefined, 'rpc', 'event', 'telemetry'];

// The same figures as those of the Rust client.
const WINDOW_BYTES = 1 << 20;
const OUTBOX_BYTES = 16 << 20;
const ACK_DELAY_MS = 5;
/** What a gateway that says no limits takes. */
const DEFAULT_PAYLOAD_BYTES = 1 << 20;
const DEFAULT_ALIASES = 256;
