// One kind of error for everything that can fail, with the codes of the protocol.

import { Code as Wire } from './gen/macula/v1/types_pb.js';

/** Why something failed, as gRPC names it. */
export type Code = Exclude<keyof typeof Wire, 'OK'>;

/** Something that the client was asked to do has failed. */
export class MaculaError extends Error {
  /** The reason for a program. */
  readonly code: Code;
  /** What a callee has added, if it has. */
  readonly details: Uint8Array;

  constructor(code: Code, message: string, details: Uint8Array = new Uint8Array()) {
    super(message);
    this.name = 'MaculaError';
    this.code = code;
    this.details = details;
  }
}

/** The error for a code that came off the wire; one that is not known here is internal to the gateway. */
export function errorOf(code: Wire, message: string, details?: Uint8Array): MaculaError {
  const name = Wire[code] as keyof typeof Wire | undefined;
  return new MaculaError(name === undefined || name === 'OK' ? 'INTERNAL' : name, message, details);
}

/** Whether trying again later may help. */
export function mayPass(error: MaculaError): boolean {
  return !['INVALID_ARGUMENT', 'PERMISSION_DENIED', 'UNAUTHENTICATED'].includes(error.code);
}
