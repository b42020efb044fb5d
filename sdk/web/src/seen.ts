// How far the events of each publisher have been seen, so that one that is sent again is handed over once.

/** The highest event sequence of each publisher and epoch. */
export class Seen {
  readonly #runs = new Map<string, { sequence: bigint; at: number }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes note of an event; true when it is news, or is not said to be sent again. */
  admit(run: string, sequence: bigint, resent: boolean): boolean {
    const known = this.#runs.get(run);
    if (resent && known !== undefined && sequence <= known.sequence) return false;
    // Put last: the map is in the order in which publishers were heard of.
    this.#runs.delete(run);
    const highest = known !== undefined && known.sequence > sequence ? known.sequence : sequence;
    this.#runs.set(run, { sequence: highest, at: this.#now() });
    this.#forget();
    return true;
  }

  #forget(): void {
    for (const [run, { at }] of this.#runs) {
      if (this.#runs.size <= MOST_RUNS && this.#now() - at < MEMORY_MS) return;
      this.#runs.delete(run);
    }
  }
}

/** Publishers that are remembered. A guess, not measured. */
const MOST_RUNS = 10_000;
/** How long: longer than a gateway takes to come back and be sent everything again. */
const MEMORY_MS = 600_000;
