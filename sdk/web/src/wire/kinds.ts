// The first byte of a stream, and the kind byte of a frame. PROTOCOL.md has the tables.

/** What a stream carries. */
export const StreamKind = { control: 0, rpc: 1, event: 2, telemetry: 3 } as const;

/** A stream that credit counts on. */
export type ClassName = 'rpc' | 'event' | 'telemetry';

/** Kinds of frames that a client sends or receives. */
export const Kind = {
  hello: 0x01,
  welcome: 0x02,
  refused: 0x03,
  subscribe: 0x04,
  unsubscribe: 0x05,
  acknowledged: 0x08,
  accepted: 0x09,
  credit: 0x0a,
  ping: 0x0b,
  pong: 0x0c,
  moving: 0x0d,
  close: 0x0e,
  publishRefused: 0x0f,
  topicAlias: 0x10,
  publisherAlias: 0x11,
  publish: 0x12,
  deliver: 0x13,
  dropped: 0x14,
  gap: 0x15,
  retainedEnd: 0x16,
  expired: 0x17,
  settled: 0x18,
  ack: 0x19,
  resent: 0x1a,
  call: 0x20,
  callResult: 0x21,
  callError: 0x22,
  callCancel: 0x23,
  callEnd: 0x24,
  callCredit: 0x25,
} as const;

/** Passes over a frame that is not known here, if it may be. */
export function skip(kind: number): void {
  if (kind < FIRST_SKIPPABLE) {
    throw new RangeError(`a frame of kind 0x${kind.toString(16).padStart(2, '0')} has no place on this stream`);
  }
}

/** Frames of unknown kinds from here on are skipped. */
const FIRST_SKIPPABLE = 0x80;
