// Calls that wait for their answers.

import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { errorOf, MaculaError } from './error.js';
import type { Outlet } from './flow.js';
import {
  CallCancelSchema,
  CallCreditSchema,
  CallEndSchema,
  CallErrorSchema,
  CallResultSchema,
  CallSchema,
} from './gen/macula/v1/rpc_pb.js';
import { hex } from './hex.js';
import { frame } from './wire/frames.js';
import { Kind, skip } from './wire/kinds.js';

/** One result of a call. */
export interface Result {
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly headers: ReadonlyMap<string, string>;
  /** With `callAll`: who answers, in hexadecimal; else empty. */
  readonly provider: string;
  text(): string;
  json(): unknown;
}

/** One provider's answer to `callAll`. */
export type Answer =
  | { readonly provider: string; readonly result: Result }
  | { readonly provider: string; readonly error: MaculaError };

/** What a pending call hears. */
export interface Listener {
  answer(answer: Answer, more: boolean): void;
  end(error?: MaculaError): void;
}

/** The calls of one client. They end with the connection: nothing is sent again. */
export class Calls {
  readonly #pending = new Map<bigint, Listener>();
  #last = 0n;
  #outlet: Outlet | undefined;

  get quiet(): boolean {
    return this.#pending.size === 0;
  }

  open(outlet: Outlet): void {
    this.#outlet = outlet;
  }

  /** The connection is lost: whether the calls were carried out, nobody knows. */
  lose(): void {
    this.#outlet = undefined;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    const text = 'the connection was lost before the answer; the call may have been carried out or not';
    for (const listener of pending) listener.end(new MaculaError('UNAVAILABLE', text));
  }

  /** Makes a call; gives its number. */
  start(call: MessageInitShape<typeof CallSchema>, listener: Listener): bigint {
    if (this.#outlet === undefined) throw new MaculaError('UNAVAILABLE', 'not connected to a gateway');
    const number = ++this.#last;
    this.#pending.set(number, listener);
    this.#outlet.send(frame(Kind.call, CallSchema, create(CallSchema, { ...call, call: number })));
    return number;
  }

  /** Waits no longer; the callee is told. */
  cancel(call: bigint): void {
    if (!this.#pending.delete(call)) return;
    this.#outlet?.send(frame(Kind.callCancel, CallCancelSchema, create(CallCancelSchema, { call })));
  }

  /** Takes so many bytes of results in all. */
  grant(call: bigint, total: number): void {
    if (!this.#pending.has(call)) return;
    const credit = create(CallCreditSchema, { call, total: BigInt(total) });
    this.#outlet?.send(frame(Kind.callCredit, CallCreditSchema, credit));
  }

  /** Takes a frame of the rpc stream. */
  take(kind: number, body: Uint8Array): void {
    switch (kind) {
      case Kind.callResult: {
        const { call, payload, contentType, headers, more, provider } = fromBinary(CallResultSchema, body);
        const result: Result = {
          payload,
          contentType,
          headers: new Map(headers.map(({ name, value }) => [name, value])),
          provider: hex(provider),
          text: () => new TextDecoder().decode(payload),
          json: () => JSON.parse(new TextDecoder().decode(payload)) as unknown,
        };
        const listener = this.#pending.get(call);
        if (!more) this.#pending.delete(call);
        listener?.answer({ provider: result.provider, result }, more);
        break;
      }
      case Kind.callError: {
        const { call, code, message, details, provider } = fromBinary(CallErrorSchema, body);
        const listener = this.#pending.get(call);
        const error = errorOf(code, message, details);
        if (provider.length > 0) {
          listener?.answer({ provider: hex(provider), error }, true);
        } else {
          this.#pending.delete(call);
          listener?.end(error);
        }
        break;
      }
      case Kind.callEnd: {
        const { call } = fromBinary(CallEndSchema, body);
        const listener = this.#pending.get(call);
        this.#pending.delete(call);
        listener?.end();
        break;
      }
      case Kind.call:
      case Kind.callCancel:
      case Kind.callCredit:
        // This client registers nothing, so these are for nobody.
        break;
      default:
        skip(kind);
    }
  }
}
