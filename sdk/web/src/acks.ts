// Positions on the event stream: how many frames have come, and up to where all are dealt with.

/** A frame whose messages the application has not dealt with. */
export interface Place {
  readonly position: number;
  readonly run: number;
}

/** Counts the frames of one session's event stream, over all of its connections. */
export class Acks {
  /** Frames received. */
  #position = 0;
  /** Frames that are not dealt with, in order, and by how many messages. */
  readonly #open = new Map<number, number>();
  /** Which session this is. */
  #run = 0;
  /**
   * Messages of sessions before that the application is not done with. Publishers send them again, and they are dropped as
   * known: nothing is acknowledged before they are done, or nobody would have them if the page went away.
   */
  readonly #earlier = new Map<number, number>();

  get position(): number {
    return this.#position;
  }

  /** A frame has come; `messages` of it are for the application. */
  receive(messages: number): Place {
    this.#position++;
    if (messages > 0) this.#open.set(this.#position, messages);
    return { position: this.#position, run: this.#run };
  }

  /** The application is done with one message of a frame. */
  done(place: Place): void {
    if (place.run !== this.#run) {
      const earlier = this.#earlier.get(place.run) ?? 0;
      if (earlier > 1) this.#earlier.set(place.run, earlier - 1);
      else this.#earlier.delete(place.run);
      return;
    }
    const left = this.#open.get(place.position);
    if (left === undefined) return;
    if (left === 1) this.#open.delete(place.position);
    else this.#open.set(place.position, left - 1);
  }

  /** The last frame up to which all are dealt with. */
  acknowledged(): number {
    if (this.#earlier.size > 0) return 0;
    for (const first of this.#open.keys()) return first - 1;
    return this.#position;
  }

  /** Another session: its frames count from 1 again. */
  restart(): void {
    let open = 0;
    for (const messages of this.#open.values()) open += messages;
    if (open > 0) this.#earlier.set(this.#run, open);
    this.#run++;
    this.#position = 0;
    this.#open.clear();
  }
}
