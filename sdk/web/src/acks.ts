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
  /** Which session this is: what belongs to one before is of no more interest. */
  #run = 0;

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
    const left = place.run === this.#run ? this.#open.get(place.position) : undefined;
    if (left === undefined) return;
    if (left === 1) this.#open.delete(place.position);
    else this.#open.set(place.position, left - 1);
  }

  /** The last frame up to which all are dealt with. */
  acknowledged(): number {
    for (const first of this.#open.keys()) return first - 1;
    return this.#position;
  }

  /** Another session: its frames count from 1 again. */
  restart(): void {
    this.#run++;
    this.#position = 0;
    this.#open.clear();
  }
}
