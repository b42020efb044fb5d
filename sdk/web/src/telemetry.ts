// The telemetry that this client publishes: sent at most once, and never kept.

import { create } from '@bufbuild/protobuf';
import { PublishSchema } from './gen/macula/v1/message_pb.js';
import type { Line, Outgoing } from './outbox.js';
import { frame } from './wire/frames.js';
import { Kind } from './wire/kinds.js';

/** Telemetry on its way out. */
export class Telemetry {
  #sequence = 0n;
  #line: Line | undefined;

  open(line: Line): void {
    this.#line = line;
  }

  lose(): void {
    this.#line = undefined;
  }

  /** Sends a message; false when it is dropped. */
  emit({ topic, contentType, message }: Outgoing): boolean {
    if (this.#line === undefined || this.#line.outlet.unsent > UNSENT_BYTES) return false;
    const { outlet, aliases } = this.#line;
    const alias = aliases.find(topic, contentType, (told) => outlet.send(told));
    const publish = create(PublishSchema, { topic: alias, sequence: ++this.#sequence, message });
    outlet.send(frame(Kind.publish, PublishSchema, publish));
    return true;
  }
}

/** Bytes that may wait for credit before more is dropped. As much as a window. */
const UNSENT_BYTES = 1 << 20;
