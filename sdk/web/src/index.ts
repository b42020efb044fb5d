/**
 * Client of a Macula gateway for browsers, over WebTransport. `proto/PROTOCOL.md` describes what it speaks.
 *
 * @packageDocumentation
 */

import { Client } from './client.js';
import type { ConnectOptions } from './options.js';

/**
 * Connects to a gateway. Rejects when none of the URLs answers, or the first that does refuses; once connected, the client
 * comes back by itself.
 */
export function connect(options: ConnectOptions): Promise<Client> {
  return Client.connect(options);
}

export type { Answer, Result } from './calls.js';
export type { Client } from './client.js';
export type { Delivery, Dropped, Gap, Message, RetainedEnd } from './delivery.js';
export { type Code, MaculaError } from './error.js';
export { matches, type NameFault, patternFault, topicFault } from './names.js';
export type {
  CallOptions,
  ConnectionEvent,
  ConnectOptions,
  MessageOptions,
  Overflow,
  Payload,
  SubscribeOptions,
} from './options.js';
export type { Published } from './outbox.js';
export { ownerOf, slotOf } from './slot.js';
export type { Subscription } from './subscription.js';
export type { Dial, Transport } from './transport.js';
