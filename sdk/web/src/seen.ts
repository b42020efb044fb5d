// Which events of each publisher have been seen, so that one that is sent again is handed over once.

/** The highest event sequence of each publisher and epoch. */
export class Seen {
  readonly #runs = new Map<string, { sequence: bigint; at: number }>();
  /** The last events of groups, the oldest first. */
  readonly #shared = new Set<string>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** True when this event or a later one of its publisher has been seen. */
  passed(run: string, sequence: bigint): boolean {
    const known = this.#runs.get(run);
    return known !== undefined && sequence <= known.sequence;
  }

  /** Takes note of an event; true when it is news, or is not said to be sent again. */
  admit(run: string, sequence: bigint, resent: boolean): boolean {
    if (resent && this.passed(run, sequence)) return false;
    const known = this.#runs.get(run);
    // Put last: the map is in the order in which publishers were heard of.
    this.#runs.delete(run);
    const highest = known !== undefined && known.sequence > sequence ? known.sequence : sequence;
    this.#runs.set(run, { sequence: highest, at: this.#now() });
    this.#forget();
    return true;
  }

  /**
   * Takes note of an event of a group; true when it is news, or is not said to be sent again. There a newer event tells
   * nothing of an older one, which may have been another member's: each is remembered by itself.
   */
  admitShared(subscription: number, run: string, sequence: bigint, resent: boolean): boolean {
    const event = `${subscription}/${run}/${sequence}`;
    if (this.#shared.has(event)) return !resent;
    this.#shared.add(event);
    if (this.#shared.size > MOST_SHARED) {
      for (const oldest of this.#shared) {
        this.#shared.delete(oldest);
        break;
      }
    }
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
/** Events of groups that are remembered: some megabytes. A guess, not measured. */
const MOST_SHARED = 20_000;
/** How long: longer than a gateway takes to come back and be sent everything again. */
const MEMORY_MS = 600_000;
