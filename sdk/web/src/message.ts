// From what the application says to a message of the protocol.

import { create } from '@bufbuild/protobuf';
import { MaculaError } from './error.js';
import { MessageSchema } from './gen/macula/v1/message_pb.js';
import { topicFault } from './names.js';
import type { MessageOptions, Payload } from './options.js';
import type { Outgoing } from './outbox.js';

/** A message for a topic, or `INVALID_ARGUMENT`. */
export function outgoing(topic: string, payload: Payload, options: MessageOptions, payloadBytes: number): Outgoing {
  const fault = topicFault(topic);
  if (fault !== undefined) throw new MaculaError('INVALID_ARGUMENT', `\`${topic}\` is no topic: ${fault}`);
  const bytes = encoded(payload);
  if (bytes.length > payloadBytes) {
    const text = `the payload has ${bytes.length} bytes, at most ${payloadBytes} are accepted`;
    throw new MaculaError('INVALID_ARGUMENT', text);
  }
  const message = create(MessageSchema, {
    payload: bytes,
    key: options.key ?? '',
    headers: headers(options.headers),
    timeToLiveMs: options.timeToLiveMs ?? 0,
    retain: options.retain ?? false,
    remove: options.remove ?? false,
  });
  return { topic, contentType: contentType(payload, options.contentType), message };
}

/** The bytes of a payload. */
export function encoded(payload: Payload): Uint8Array {
  return typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
}

/** Headers as the protocol has them. */
export function headers(named: Readonly<Record<string, string>> = {}): { name: string; value: string }[] {
  return Object.entries(named).map(([name, value]) => ({ name, value }));
}

/** The media type of a payload, where it was not said. */
export function contentType(payload: Payload, said: string | undefined): string {
  return said ?? (typeof payload === 'string' && payload !== '' ? 'text/plain' : '');
}
