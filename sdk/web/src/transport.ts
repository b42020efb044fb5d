// The part of WebTransport that the client needs.

/** A session's transport: WebTransport, or what a test puts in its place. */
export interface Transport {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ readonly closeCode?: number; readonly reason?: string }>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  createBidirectionalStream(): Promise<{
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  }>;
  createUnidirectionalStream(): Promise<WritableStream<Uint8Array>>;
  close(): void;
}

/** Opens a transport to a session's URL. */
export type Dial = (url: string) => Transport;

/** Dials by the browser's WebTransport; `hashes` are SHA-256 of certificates to trust instead of the web's own roots. */
export function webTransport(hashes: readonly Uint8Array[]): Dial {
  return (url) => {
    const serverCertificateHashes = hashes.map((value) => ({ algorithm: 'sha-256', value: new Uint8Array(value) }));
    return new WebTransport(url, hashes.length === 0 ? {} : { serverCertificateHashes });
  };
}
