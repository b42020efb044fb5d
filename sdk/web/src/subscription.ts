// One subscription: a queue between the connection and the application's loop.

import type { Delivery } from './delivery.js';

/** A delivery on its way to the application, and what is to be given back for it. */
export class Queued {
  readonly delivery: Delivery;
  /** The application says itself when it is done. */
  readonly manual: boolean;
  readonly #release: () => void;
  readonly #done: () => void;
  #owed: Set<Queued> | undefined;
  #finished = false;

  constructor(delivery: Delivery, release: () => void = () => undefined, done = release, manual = false) {
    this.delivery = delivery;
    this.manual = manual;
    this.#release = release;
    this.#done = done;
  }

  /** The application has taken it: its bytes are credit again. What it owes is noted. */
  release(owed: Set<Queued>): void {
    this.#release();
    if (this.manual && !this.#finished) {
      this.#owed = owed;
      owed.add(this);
    }
  }

  /** The application is done with it. */
  done(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#owed?.delete(this);
    this.#done();
  }
}

/**
 * The messages of one pattern, for `for await`. Leaving the loop ends the subscription.
 *
 * What is yielded counts as taken when the next one is asked for. Who stops asking is not sent more than a window of
 * messages; then its overflow policy says what happens.
 */
export class Subscription implements AsyncIterableIterator<Delivery> {
  readonly pattern: string;
  readonly #leave: () => void;
  #queue: Queued[] = [];
  #current: Queued | undefined;
  /** Taken, and to be acknowledged by the application. */
  readonly #owed = new Set<Queued>();
  #waiter: ((result: IteratorResult<Delivery, undefined>) => void) | undefined;
  #failure: Error | undefined;
  #fail: ((error: Error) => void) | undefined;
  #ended = false;

  /** @internal */
  constructor(pattern: string, leave: () => void) {
    this.pattern = pattern;
    this.#leave = leave;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next delivery. Rejects when the client cannot go on, or the gateway does not restore the subscription. */
  next(): Promise<IteratorResult<Delivery, undefined>> {
    this.#finish();
    this.#current = this.#queue.shift();
    if (this.#current !== undefined) {
      this.#current.release(this.#owed);
      return Promise.resolve({ value: this.#current.delivery, done: false });
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#waiter = resolve;
      this.#fail = reject;
    });
  }

  /** Ends the subscription: the gateway is told, and what waits is dropped. */
  return(): Promise<IteratorResult<Delivery, undefined>> {
    this.unsubscribe();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** Ends the subscription. */
  unsubscribe(): void {
    if (!this.#ended) this.#leave();
    this.end();
  }

  /** @internal */
  push(queued: Queued): void {
    if (this.#ended) {
      queued.release(this.#owed);
      queued.done();
      return;
    }
    const waiter = this.#waiter;
    if (waiter === undefined) {
      this.#queue.push(queued);
      return;
    }
    [this.#waiter, this.#fail, this.#current] = [undefined, undefined, queued];
    queued.release(this.#owed);
    waiter({ value: queued.delivery, done: false });
  }

  /** @internal Ends it from the other side; with an error, that is what the loop sees after the rest of the queue. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    if (error === undefined) {
      this.#finish();
      for (const queued of this.#queue.splice(0)) {
        queued.release(this.#owed);
        queued.done();
      }
      // What it never acknowledged must not hold up what other subscriptions do.
      for (const queued of this.#owed) queued.done();
      this.#waiter?.({ value: undefined, done: true });
    } else if (this.#fail !== undefined) {
      this.#fail(error);
    } else {
      this.#failure = error;
    }
    [this.#waiter, this.#fail] = [undefined, undefined];
  }

  /** The loop has come round: what was yielded last is dealt with. */
  #finish(): void {
    if (this.#current?.manual === false) this.#current.done();
    this.#current = undefined;
  }
}
