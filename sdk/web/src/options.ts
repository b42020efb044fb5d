// What the application says to the client.

import type { Overflow as WireOverflow, Share as WireShare } from './gen/macula/v1/types_pb.js';
import type { Dial } from './transport.js';

/** Bytes, or text that is sent as UTF-8. */
export type Payload = Uint8Array | string;

/** How to connect. */
export interface ConnectOptions {
  /** `https://host:9443`; of several, the first that answers. */
  readonly url: string | readonly string[];
  readonly realm: string;
  /** SHA-256 of the gateway's certificates, for those that the web does not know; or what tells those of now. */
  readonly certificateHashes?: readonly Uint8Array[] | (() => readonly Uint8Array[] | Promise<readonly Uint8Array[]>);
  /** Bearer token, or what gives a fresh one for each connection. */
  readonly token?: string | (() => string | Promise<string>);
  /** Name and version of the application, for the gateway's logs. */
  readonly name?: string;
  /** Sixteen bytes that name this publisher; random ones by default. */
  readonly publisher?: Uint8Array;
  /** Published by the gateway when the page is gone without a goodbye. */
  readonly lastWill?: MessageOptions & {
    readonly topic: string;
    readonly payload: Payload;
    readonly class?: 'event' | 'telemetry';
  };
  /** Tell the gateway when the page is left, so that the session ends at once: by default unless there is a last will. */
  readonly goodbye?: boolean;
  /** How long the gateway keeps the session of a lost connection; 30 s by default, which is also the most. */
  readonly resumeMs?: number;
  /** Bytes of each class that may be on their way to the application; 1 MiB by default. */
  readonly windows?: { readonly rpc?: number; readonly event?: number; readonly telemetry?: number };
  /** Bytes of events that are kept until they are settled; 16 MiB by default. */
  readonly outboxBytes?: number;
  /** Time for each attempt to connect; 10 s by default. */
  readonly connectTimeoutMs?: number;
  /** Hears what happens to the connection, from the first attempt on. */
  readonly onEvent?: (event: ConnectionEvent) => void;
  /** Opens the transport, where WebTransport is not to be used. */
  readonly dial?: Dial;
}

/** What happens to the connection. Losses are also yielded by the subscriptions, where they happened. */
export type ConnectionEvent =
  | { readonly type: 'connected'; readonly gateway: string; readonly resumed: boolean }
  | { readonly type: 'moving'; readonly retryAfterMs: number }
  | { readonly type: 'reconnecting'; readonly reason: string }
  | { readonly type: 'gap'; readonly count: number | undefined }
  | { readonly type: 'dropped'; readonly count: number }
  | { readonly type: 'closed'; readonly reason?: string };

/** What a message carries besides its payload. */
export interface MessageOptions {
  /** Media type of the payload; `text/plain` for text, none for bytes. */
  readonly contentType?: string;
  /** Record key: for kept values, for conflation, for the slots of groups. */
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Time after which the message is of no use. */
  readonly timeToLiveMs?: number;
  /** Keep as the value of topic and key for later subscribers. */
  readonly retain?: boolean;
  /** Forget the value of topic and key. */
  readonly remove?: boolean;
}

/** How to subscribe. */
export interface SubscribeOptions {
  /** Yield the values that were kept first, then `retained-end`, then live messages. */
  readonly retained?: boolean;
  /** Yield this client's own messages too. */
  readonly echo?: boolean;
  /** What happens when this client is slow. */
  readonly events?: Overflow;
  readonly telemetry?: Overflow;
  /** How long `block` holds publishers back; 10 s by default, a minute at most. */
  readonly blockMs?: number;
  /** `mesh`: resolve when every gateway knows the subscription, or after two seconds. */
  readonly scope?: 'local' | 'mesh';
  /** Share the messages with all subscriptions of this group and pattern. */
  readonly group?: string;
  readonly share?: 'hash' | 'round-robin' | 'least-loaded';
  /** Who acknowledges events: the loop as it goes on, or the application by `Message.acknowledge`. */
  readonly acknowledge?: 'auto' | 'manual';
}

/** What becomes of messages that a subscriber has no room for. */
export type Overflow = 'default' | 'conflate' | 'drop-oldest' | 'drop-newest' | 'block' | 'disconnect';

/** How to call. */
export interface CallOptions {
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Time for the answer; 30 s by default. */
  readonly timeoutMs?: number;
  /** Gives the call up. */
  readonly signal?: AbortSignal;
}

/** The policies by their numbers on the wire. */
export const OVERFLOW: Readonly<Record<Overflow, WireOverflow>> = {
  default: 0,
  conflate: 1,
  'drop-oldest': 2,
  'drop-newest': 3,
  block: 4,
  disconnect: 5,
};

/** How groups share, by their numbers on the wire. */
export const SHARE: Readonly<Record<NonNullable<SubscribeOptions['share']>, WireShare>> = {
  hash: 0,
  'round-robin': 1,
  'least-loaded': 2,
};
