// The events that this client publishes, kept until they are settled, and sent again where the protocol says so.

import { create } from '@bufbuild/protobuf';
import type { Aliases } from './aliases.js';
import { MaculaError } from './error.js';
import type { Outlet } from './flow.js';
import { type Message as WireMessage, PublishSchema, ResentSchema } from './gen/macula/v1/message_pb.js';
import type { Welcome } from './gen/macula/v1/session_pb.js';
import { frame } from './wire/frames.js';
import { Kind } from './wire/kinds.js';

/** What became of an event. */
export interface Published {
  /** Its number within this publisher and run. */
  readonly sequence: bigint;
  /** How many sessions, groups and peers it matched; `undefined` when the answer was lost with a connection. */
  readonly matches: number | undefined;
}

/** A message on its way out. */
export interface Outgoing {
  readonly topic: string;
  readonly contentType: string;
  readonly message: WireMessage;
}

interface Entry extends Outgoing {
  readonly sequence: bigint;
  readonly bytes: number;
  readonly resolve: (published: Published) => void;
  readonly reject: (error: MaculaError) => void;
}

/** Where events are sent on the connection of now. */
export interface Line {
  readonly outlet: Outlet;
  readonly aliases: Aliases;
}

/** Events from their publication to their settlement. */
export class Outbox {
  readonly #limit: number;
  /** In the order of their sequences. */
  #entries: Entry[] = [];
  #bytes = 0;
  #sequence = 0n;
  #sent = 0n;
  #accepted = 0n;
  #settled = 0n;
  #gatewayEpoch: bigint | undefined;
  #line: Line | undefined;
  #waiters: (() => void)[] = [];
  #closed: MaculaError | undefined;

  /** An outbox that keeps at most so many bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** True when every event that was sent has been accepted or refused. */
  get quiet(): boolean {
    return this.#entries.every(({ sequence }) => sequence <= this.#accepted || sequence > this.#sent);
  }

  /** True when nobody needs any event that was sent. */
  get idle(): boolean {
    return this.#entries.every(({ sequence }) => sequence > this.#sent);
  }

  /** Keeps an event and sends it as soon as there is a connection. Resolves when a gateway holds it for all receivers. */
  async publish(outgoing: Outgoing): Promise<Published> {
    const bytes = outgoing.message.payload.length + OVERHEAD_BYTES;
    while (this.#closed === undefined && !this.#makeRoom(bytes)) {
      await new Promise<void>((done) => this.#waiters.push(done));
    }
    if (this.#closed !== undefined) throw this.#closed;
    return new Promise((resolve, reject) => {
      const entry = { ...outgoing, sequence: ++this.#sequence, bytes, resolve, reject };
      this.#entries.push(entry);
      this.#bytes += bytes;
      this.#send(entry);
    });
  }

  /** A connection: what this gateway does not have is sent, and what it may have after `Resent`. */
  open(line: Line, welcome: Welcome): void {
    this.#line = line;
    const same = this.#gatewayEpoch === welcome.gatewayEpoch;
    this.#gatewayEpoch = welcome.gatewayEpoch;
    this.accept(welcome.accepted, undefined);
    this.settle(welcome.settled);
    const here = welcome.accepted < this.#sequence ? welcome.accepted : this.#sequence;
    const from = same ? this.#accepted : here > this.#settled ? here : this.#settled;
    if (!same && this.#sent > from) {
      line.outlet.send(frame(Kind.resent, ResentSchema, create(ResentSchema, { sequence: this.#sent })));
    }
    for (const entry of this.#entries) if (entry.sequence > from) this.#send(entry);
  }

  lose(): void {
    this.#line = undefined;
  }

  /** The gateway is about to leave: what it has not been sent is for the next one. */
  hold(): void {
    this.#line?.outlet.hold();
    this.#line = undefined;
  }

  /** The gateway holds all events up to this one for their receivers. */
  accept(sequence: bigint, matches: number | undefined): void {
    if (sequence > this.#sequence) return;
    const before = this.#accepted;
    if (sequence > before) this.#accepted = sequence;
    for (const entry of this.#entries) {
      if (entry.sequence > sequence) break;
      if (entry.sequence <= before) continue;
      entry.resolve({ sequence: entry.sequence, matches: entry.sequence === sequence ? matches : undefined });
    }
    // Accepted ones may leave for new ones.
    this.#wake();
  }

  /** Nobody needs the events up to this one any more. */
  settle(sequence: bigint): void {
    if (sequence > this.#settled && sequence <= this.#sequence) this.#settled = sequence;
    while (this.#entries[0] !== undefined && this.#entries[0].sequence <= this.#settled) this.#shift();
    this.#wake();
  }

  refuse(sequence: bigint, error: MaculaError): void {
    const index = this.#entries.findIndex((entry) => entry.sequence === sequence);
    const [entry] = index < 0 ? [] : this.#entries.splice(index, 1);
    if (entry === undefined) return;
    this.#bytes -= entry.bytes;
    entry.reject(error);
    this.#wake();
  }

  /** No connection will come any more: who waits is told. */
  close(error: MaculaError): void {
    this.#closed = error;
    this.#line = undefined;
    for (const entry of this.#entries.splice(0)) entry.reject(error);
    this.#wake();
  }

  #send(entry: Entry): void {
    if (this.#line === undefined) return;
    const { outlet, aliases } = this.#line;
    const topic = aliases.find(entry.topic, entry.contentType, (told) => outlet.send(told));
    const { sequence, message } = entry;
    const publish = create(PublishSchema, { topic, sequence, message, report: true });
    outlet.send(frame(Kind.publish, PublishSchema, publish));
    if (sequence > this.#sent) this.#sent = sequence;
  }

  /** Whether so many bytes fit; the oldest accepted events leave for them, those not accepted never. */
  #makeRoom(bytes: number): boolean {
    for (let first; this.#bytes + bytes > this.#limit && (first = this.#entries[0]) !== undefined; ) {
      if (first.sequence > this.#accepted) return false;
      this.#shift();
    }
    return true;
  }

  #shift(): void {
    this.#bytes -= this.#entries.shift()?.bytes ?? 0;
  }

  #wake(): void {
    for (const done of this.#waiters.splice(0)) done();
  }
}

/** What an event takes besides its payload. A guess, not measured. */
const OVERHEAD_BYTES = 256;
