// What a subscription yields.

/** What a subscription yields, in order. */
export type Delivery = Message | Gap | Dropped | RetainedEnd;

/** A message that matched. */
export interface Message {
  readonly type: 'message';
  readonly class: 'event' | 'telemetry';
  readonly topic: string;
  /** Media type of the payload; empty when the publisher named none. */
  readonly contentType: string;
  readonly payload: Uint8Array;
  /** Record key; empty for none. */
  readonly key: string;
  readonly headers: ReadonlyMap<string, string>;
  /** Who published it, in hexadecimal, and in which run. */
  readonly publisher: string;
  readonly epoch: bigint;
  /** Counted per publisher, run and class. Holes mean nothing: a subscriber sees a part. */
  readonly sequence: bigint;
  /** A value that was kept from before. */
  readonly retained: boolean;
  /** The payload as text. */
  text(): string;
  /** The payload, parsed as JSON. */
  json(): unknown;
  /**
   * With `acknowledge: 'manual'`: done with this event, which the gateway keeps until then. Acknowledged in any order,
   * counted in theirs. Does nothing otherwise, nor the second time.
   */
  acknowledge(): void;
}

/** Events were lost here: so many, or an unknown number. */
export interface Gap {
  readonly type: 'gap';
  readonly count: number | undefined;
}

/** So many telemetry messages were dropped here by the overflow policy. */
export interface Dropped {
  readonly type: 'dropped';
  readonly count: number;
}

/** All values that were kept have been yielded; what follows is live. */
export interface RetainedEnd {
  readonly type: 'retained-end';
}
