// The way that live data comes: straight from the gateway by WebTransport where the browser can, else from the dashboard as
// server-sent events. What is lost comes back by itself.

import { type Client, connect, type Subscription } from '@macula/web';
import { signal } from '@preact/signals';
import { ApiError, ask, type TransportInfo } from '../api.js';
import { lost, take } from './store.js';

/** How the page stands with the world. */
export interface Link {
  readonly via: 'webtransport' | 'events' | 'nothing';
  /** The gateway's name, by WebTransport. */
  readonly gateway: string;
  /** To the gateway and back, by WebTransport. */
  readonly roundTripMs: number | undefined;
  /** Why it is not WebTransport; empty when it is. */
  readonly reason: string;
  /** What people can do about it. */
  readonly remedy: string;
}

export const link = signal<Link>({
  via: 'nothing',
  gateway: '',
  roundTripMs: undefined,
  reason: 'Connecting.',
  remedy: '',
});

/** What every page shows. */
const ALWAYS = [
  'be.cortexiq.simulation.time_advanced',
  'be.cortexiq.simulation.state_changed',
  'be.cortexiq.projections.totals_calculated',
  'be.cortexiq.provider.initialized',
];

const wants = new Map<string, number>();
const changed = new Set<() => void>();
ALWAYS.forEach((pattern) => wants.set(pattern, 1));

/** Asks for a pattern too, until what is returned is called. */
export function want(...patterns: string[]): () => void {
  for (const pattern of patterns) wants.set(pattern, (wants.get(pattern) ?? 0) + 1);
  changed.forEach((tell) => tell());
  return () => {
    for (const pattern of patterns) {
      const left = (wants.get(pattern) ?? 1) - 1;
      if (left === 0) wants.delete(pattern);
      else wants.set(pattern, left);
    }
    changed.forEach((tell) => tell());
  };
}

function say(parts: Partial<Link>): void {
  link.value = { ...link.peek(), ...parts };
}

/** Server-sent events, as long as there is nothing better. */
class Events {
  #source: EventSource | undefined;
  #asked = '';
  #heard = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #change = (): void => this.#open();

  start(): void {
    if (this.#timer !== undefined) return;
    changed.add(this.#change);
    this.#heard = performance.now();
    this.#open();
    this.#timer = setInterval(() => {
      if (performance.now() - this.#heard < SILENCE_MS) return;
      if (link.peek().via === 'events') say({ via: 'nothing' });
      // Browsers give up after some errors, and wait long after others.
      this.#heard = performance.now();
      this.#asked = '';
      this.#open();
    }, HEARTBEAT_MS);
  }

  stop(): void {
    changed.delete(this.#change);
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#source?.close();
    this.#source = undefined;
    this.#asked = '';
  }

  #open(): void {
    const patterns = [...wants.keys()].sort().join(',');
    if (patterns === this.#asked) return;
    this.#asked = patterns;
    this.#source?.close();
    this.#source = new EventSource(`/api/live?${new URLSearchParams({ patterns })}`);
    this.#source.onmessage = ({ data }: MessageEvent<string>) => {
      this.#heard = performance.now();
      const news = JSON.parse(data) as { messages: [string, string, string][]; lost: number };
      for (const [topic, key, payload] of news.messages) take(topic, key, bytes(payload));
      if (news.lost > 0) lost.value += news.lost;
      if (link.peek().via === 'nothing') say({ via: 'events', gateway: '', roundTripMs: undefined });
    };
  }
}

/** One WebTransport session, until it is lost. */
class Session {
  readonly #client: Client;
  readonly #open = new Map<string, Subscription | undefined>();
  #ended = false;
  #slot = { end: 0, used: 0 };

  private constructor(client: Client) {
    this.#client = client;
  }

  /** Lives until the session is lost; resolves with the reason. */
  static async live(info: TransportInfo, onJoined: () => void): Promise<string> {
    let fail = (_reason: string): void => undefined;
    const failed = new Promise<string>((resolve) => {
      fail = resolve;
    });
    const client = await connect({
      url: info.url,
      realm: info.realm,
      certificateHashes: info.certificate_hashes.map(bytes),
      name: 'cortexiq-page',
      connectTimeoutMs: CONNECT_MS,
      windows: { telemetry: WINDOW_BYTES },
      onEvent: (event) => {
        if (event.type === 'moving') fail('the gateway stops');
        else if (event.type === 'reconnecting' || event.type === 'closed')
          fail(event.reason || 'the connection was lost');
      },
    });
    const session = new Session(client);
    const sync = (): void => session.#sync(fail);
    changed.add(sync);
    let beating: ReturnType<typeof setInterval> | undefined;
    try {
      sync();
      const gateway = client.gateway ?? '';
      await session.#beat();
      onJoined();
      say({ via: 'webtransport', gateway, reason: '', remedy: '' });
      let [answered, looked] = [performance.now(), performance.now()];
      beating = setInterval(() => {
        const now = performance.now();
        // A page that was asleep judges nobody by the time that it has missed.
        if (now - looked > 2 * HEARTBEAT_MS) answered = now;
        looked = now;
        if (now - answered > SILENCE_MS) fail('the gateway does not answer');
        void session.#beat().then(
          () => (answered = performance.now()),
          () => undefined,
        );
      }, HEARTBEAT_MS);
      return await failed;
    } finally {
      clearInterval(beating);
      changed.delete(sync);
      session.#ended = true;
      void client.close();
    }
  }

  /** A sign of life, and how long it took. */
  async #beat(): Promise<void> {
    const begun = performance.now();
    await this.#client.call('$sys.echo', '', { timeoutMs: SILENCE_MS });
    if (!this.#ended && link.peek().via === 'webtransport') say({ roundTripMs: performance.now() - begun });
  }

  /** Subscribes to what is wanted, and leaves what is not. */
  #sync(fail: (reason: string) => void): void {
    for (const [pattern, subscription] of this.#open) {
      if (wants.has(pattern)) continue;
      this.#open.delete(pattern);
      subscription?.unsubscribe();
    }
    for (const pattern of wants.keys()) {
      if (this.#open.has(pattern)) continue;
      this.#open.set(pattern, undefined);
      void this.#read(pattern).catch((error: unknown) => {
        if (!this.#ended) fail(error instanceof Error ? error.message : String(error));
      });
    }
  }

  async #read(pattern: string): Promise<void> {
    const subscription = await this.#client.subscribe(pattern, {
      retained: true,
      telemetry: 'conflate',
      events: 'drop-oldest',
    });
    if (!this.#open.has(pattern) || this.#open.get(pattern) !== undefined || this.#ended) {
      subscription.unsubscribe();
      return;
    }
    this.#open.set(pattern, subscription);
    for await (const delivery of subscription) {
      if (delivery.type === 'message') take(delivery.topic, delivery.key, delivery.payload);
      else if (delivery.type === 'dropped' || delivery.type === 'gap') lost.value += delivery.count ?? 1;
      await this.#breathe();
    }
  }

  /**
   * A page that has read enough in a tenth of a second does not ask for more in it. Its window fills, and the gateway keeps
   * the newest value of each home until there is room again.
   */
  async #breathe(): Promise<void> {
    const now = performance.now();
    if (now >= this.#slot.end) this.#slot = { end: now + SLOT_MS, used: 0 };
    if (++this.#slot.used < SLOT_MESSAGES) return;
    await new Promise((done) => setTimeout(done, this.#slot.end - now));
  }
}

/** Keeps the page connected, for ever. */
export async function keep(): Promise<void> {
  const events = new Events();
  if (!isSecureContext || typeof WebTransport !== 'function') {
    say(isSecureContext ? NO_TRANSPORT : NOT_SECURE);
    events.start();
    return;
  }
  for (let tries = 0; ; tries++) {
    try {
      const info = await ask<TransportInfo>('transport');
      if (info.problem !== null) throw new Error(info.problem);
      const reason = await Session.live(info, () => events.stop());
      tries = 0;
      fallBack(`The session with the gateway has ended: ${reason}.`);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      fallBack(error instanceof ApiError ? text : `The gateway cannot be reached by WebTransport: ${text}.`);
    }
    events.start();
    await new Promise((done) => setTimeout(done, Math.min(FIRST_AGAIN_MS * 2 ** Math.min(tries, 4), LAST_AGAIN_MS)));
  }
}

function fallBack(reason: string): void {
  const via = link.peek().via === 'webtransport' ? 'nothing' : link.peek().via;
  say({
    via,
    gateway: '',
    roundTripMs: undefined,
    reason: reason.replace(/\.+$/, '.'),
    remedy: 'It is tried again by itself.',
  });
}

function bytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

const NOT_SECURE: Partial<Link> = {
  reason:
    'This page was opened by plain http under a name that is not this machine, where browsers allow no WebTransport.',
  remedy:
    'Open it as http://localhost, through a tunnel if need be, or give the dashboard a certificate (DASHBOARD_TLS_CERT) and use https.',
};
const NO_TRANSPORT: Partial<Link> = {
  reason: 'This browser has no WebTransport.',
  remedy: 'Current versions of Chrome, Edge, Firefox and Safari do.',
};
const HEARTBEAT_MS = 500;
/** Two signs of life that did not come: with the time between two looks it shows within two seconds. */
const SILENCE_MS = 1_200;
const CONNECT_MS = 3_000;
const WINDOW_BYTES = 128 << 10;
const SLOT_MS = 100;
/** A thousand homes are shown within a quarter of a second; decoding so many takes a few milliseconds. */
const SLOT_MESSAGES = 500;
const FIRST_AGAIN_MS = 250;
const LAST_AGAIN_MS = 2_000;
