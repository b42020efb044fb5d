// Frames on a stream: `varint length | kind | body`, the length counting the kind and the body.

import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { getVarint, putVarint } from './varint.js';

/** The largest frame that a gateway sends: 16 MiB of payload and what surrounds it. */
export const FRAME_BYTES = (16 << 20) + (64 << 10);

/** A frame with this message as its body. */
export function frame<T extends DescMessage>(kind: number, schema: T, message: MessageShape<T>): Uint8Array {
  const body = toBinary(schema, message);
  const head: number[] = [];
  putVarint(head, body.length + 1);
  head.push(kind);
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}

/** Cuts the chunks of a stream into frames. */
export class Splitter {
  /** The start of a frame whose rest has not come. */
  #partial: Uint8Array = new Uint8Array();
  readonly #limit: number;

  constructor(limit: number = FRAME_BYTES) {
    this.#limit = limit;
  }

  /**
   * Calls `each` with every frame that ends in this chunk; `size` is that of the whole frame. After an error the stream
   * is of no use: there is no frame boundary any more.
   */
  split(chunk: Uint8Array, each: (kind: number, body: Uint8Array, size: number) => void): void {
    const bytes = this.#partial.length === 0 ? chunk : concat(this.#partial, chunk);
    let at = 0;
    for (;;) {
      const length = getVarint(bytes, at);
      if (length === undefined) break;
      if (length.value === 0) throw new RangeError('a frame of length 0 has no kind');
      if (length.value > this.#limit) {
        throw new RangeError(`a frame of ${length.value} bytes is longer than the ${this.#limit} that are accepted`);
      }
      const end = length.end + length.value;
      const kind = bytes[length.end];
      if (kind === undefined || end > bytes.length) break;
      each(kind, bytes.subarray(length.end + 1, end), end - at);
      at = end;
    }
    // A copy, so that a slow sender keeps no large chunk alive.
    this.#partial = bytes.slice(at);
  }
}

function concat(left: Uint8Array, right: Uint8Array): Uint8Array {
  const joined = new Uint8Array(left.length + right.length);
  joined.set(left);
  joined.set(right, left.length);
  return joined;
}
