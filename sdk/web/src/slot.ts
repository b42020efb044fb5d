// Which member of a group that shares by hash a message goes to. The gateways decide; this is for who wants to know.

const MASK = (1n << 64n) - 1n;

/** The slot of a message, 0 to 255: FNV-1a of its key, of its topic if it has none, its bytes xored together. */
export function slotOf(key: string, topic: string): number {
  let rest = fnv1a64(key === '' ? topic : key);
  let slot = 0;
  for (; rest > 0n; rest >>= 8n) slot ^= Number(rest & 0xffn);
  return slot;
}

/** The member that owns a slot: the one of the highest weight, of equals the highest number. */
export function ownerOf(slot: number, members: Iterable<bigint>): bigint | undefined {
  let best: { weight: bigint; member: bigint } | undefined;
  for (const member of members) {
    const weight = weightOf(slot, member);
    if (best === undefined || weight > best.weight || (weight === best.weight && member > best.member)) {
      best = { weight, member };
    }
  }
  return best?.member;
}

/** FNV-1a of 64 bits over UTF-8. */
export function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & MASK;
  return hash;
}

/** How strongly a slot belongs to a member: SplitMix64's finalizer. */
export function weightOf(slot: number, member: bigint): bigint {
  let value = (member + BigInt(slot + 1) * 0x9e3779b97f4a7c15n) & MASK;
  value = ((value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  value = ((value ^ (value >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return value ^ (value >> 31n);
}
