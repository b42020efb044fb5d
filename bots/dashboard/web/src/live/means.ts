// Means of the last 24 hours from what a meter has counted: right however many readings were left out between two.

const DAY = 86_400;
const HOUR = 3_600;

/** Mean powers in W, and over how many seconds. */
export interface Mean {
  readonly production: number;
  readonly consumption: number;
  readonly grid: number;
  readonly seconds: number;
}

/** Readings of one home's registers, about one an hour, back to 24 hours before the newest. */
export class Means {
  #readings: [time: number, production: number, consumption: number, grid: number][] = [];
  #newest: [number, number, number, number] | undefined;

  clear(): void {
    this.#readings = [];
    this.#newest = undefined;
  }

  /** Takes registers in Wh; that of the grid is import less export. */
  add(time: number, production: number, consumption: number, grid: number): void {
    this.#newest = [time, production, consumption, grid];
    const last = this.#readings.at(-1);
    if (last === undefined || time - last[0] >= HOUR) this.#readings.push(this.#newest);
    // The first one that stays is the last that is a day old.
    const next = (): number | undefined => this.#readings[1]?.[0];
    for (let second = next(); second !== undefined && second <= time - DAY; second = next()) this.#readings.shift();
  }

  /** None before two readings. */
  get mean(): Mean | undefined {
    const [first, newest] = [this.#readings[0], this.#newest];
    if (first === undefined || newest === undefined || newest[0] === first[0]) return undefined;
    const seconds = newest[0] - first[0];
    const watts = (index: 1 | 2 | 3): number => ((newest[index] - first[index]) * HOUR) / seconds;
    return { production: watts(1), consumption: watts(2), grid: watts(3), seconds };
  }
}
