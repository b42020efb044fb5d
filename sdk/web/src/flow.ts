// Credit: what either side may still send on a class stream. It counts bytes of frames from the stream's beginning.

/** Our sending half of one class stream: opens it with the first frame, and never passes the gateway's credit. */
export class Outlet {
  readonly #queue: Uint8Array[] = [];
  readonly #open: () => Promise<WritableStream<Uint8Array>>;
  readonly #kind: number;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #credit: number;
  #sent = 0;
  #unsent = 0;
  #writing = false;
  #failed = false;
  /** The first frame of the queue has been sent in part. */
  #begun = false;
  #waiters: (() => void)[] = [];

  constructor(kind: number, credit: bigint, open: () => Promise<WritableStream<Uint8Array>>) {
    this.#kind = kind;
    this.#credit = Number(credit);
    this.#open = open;
  }

  /** Bytes that wait for credit or for the network. */
  get unsent(): number {
    return this.#unsent;
  }

  send(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#unsent += bytes.length;
    void this.#write();
  }

  grant(total: bigint): void {
    this.#credit = Math.max(this.#credit, Number(total));
    void this.#write();
  }

  /** Sends no more than what has been begun: what waits for credit is for another connection. */
  hold(): void {
    for (const { length } of this.#queue.splice(this.#begun ? 1 : 0)) this.#unsent -= length;
    this.#wake();
  }

  /** Resolves once no more than `bytes` wait, or the stream is lost. */
  async below(bytes: number): Promise<void> {
    while (this.#unsent > bytes && !this.#failed) await new Promise<void>((done) => this.#waiters.push(done));
  }

  /** The connection is lost: who waits here goes on. */
  abandon(): void {
    this.#failed = true;
    this.#wake();
  }

  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      for (let batch; !this.#failed && (batch = this.#take()) !== undefined; ) {
        if (this.#writer === undefined) {
          this.#writer = (await this.#open()).getWriter();
          await this.#writer.write(Uint8Array.of(this.#kind));
        }
        await this.#writer.write(batch);
        this.#unsent -= batch.length;
        this.#wake();
      }
    } catch {
      // The connection is lost, and whoever reads from it says why.
      this.abandon();
    } finally {
      this.#writing = false;
    }
  }

  /** What may be sent now, in one piece. */
  #take(): Uint8Array | undefined {
    const room = Math.min(this.#credit - this.#sent, BATCH_BYTES);
    if (room <= 0 || this.#queue.length === 0) return undefined;
    const parts: Uint8Array[] = [];
    let size = 0;
    for (let first; size < room && (first = this.#queue[0]) !== undefined; ) {
      const part = first.subarray(0, room - size);
      parts.push(part);
      size += part.length;
      this.#begun = part.length < first.length;
      if (this.#begun) this.#queue[0] = first.subarray(part.length);
      else this.#queue.shift();
    }
    this.#sent += size;
    const [only] = parts;
    if (parts.length === 1 && only !== undefined) return only;
    const batch = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      batch.set(part, at);
      at += part.length;
    }
    return batch;
  }

  #wake(): void {
    for (const done of this.#waiters.splice(0)) done();
  }
}

/** The credit that we grant the gateway on one class: a window beyond what the application has taken. */
export class Inflow {
  readonly window: number;
  #received = 0;
  #waiting = 0;
  #granted = 0;

  constructor(window: number) {
    this.window = window;
  }

  /** A new stream: the credit to begin with. What waits from before still counts. */
  restart(): bigint {
    this.#received = 0;
    this.#granted = Math.max(0, this.window - this.#waiting);
    return BigInt(this.#granted);
  }

  receive(bytes: number): void {
    this.#received += bytes;
  }

  /** So many bytes wait for the application. */
  hold(bytes: number): void {
    this.#waiting += bytes;
  }

  /** The application has taken so many. */
  release(bytes: number): void {
    this.#waiting -= bytes;
  }

  /** The total to grant now; `undefined` while it is too little to be worth a frame. */
  due(): bigint | undefined {
    const total = this.#received + this.window - this.#waiting;
    if (total - this.#granted < this.window / 4) return undefined;
    this.#granted = total;
    return BigInt(total);
  }
}

/** Written at once: large enough that a write costs little. */
const BATCH_BYTES = 64 << 10;
