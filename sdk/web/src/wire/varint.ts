// Protobuf's variable-length integers, as far as frames need them: their lengths fit a double exactly.

/** Appends `value`. */
export function putVarint(out: number[], value: number): void {
  while (value >= 0x80) {
    out.push((value % 0x80) | 0x80);
    value = Math.floor(value / 0x80);
  }
  out.push(value);
}

/** The value at `at` and where it ends; `undefined` when the bytes end within it. */
export function getVarint(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = 0, scale = 1; index < MAX_BYTES; index++, scale *= 0x80) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    if (index === MAX_BYTES - 1 && byte > 1) break;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  throw new RangeError("a frame's length does not fit 64 bits");
}

/** Longest encoding of 64 bits. */
const MAX_BYTES = 10;
