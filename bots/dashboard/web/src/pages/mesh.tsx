// The gateways and the links between them, as each tells of itself once a second.

import { useEffect } from 'preact/hooks';
import { count, scaled, span } from '../format.js';
import { link, want } from '../live/link.js';
import { beat, gateways } from '../live/store.js';
import { Card, State, Tile } from '../parts/basics.js';
import { Notice } from '../parts/link-badge.js';

type ByClass = Readonly<Record<'event' | 'telemetry', number>>;

interface GatewayLink {
  peer: string;
  node: string;
  synced: boolean;
  up_ms: number;
  round_trip_ms: number;
  lost_packets: number;
  lost: ByClass;
  sent_per_s: number;
  received_per_s: number;
  sent_bytes_per_s: number;
  received_bytes_per_s: number;
  queued_bytes: Readonly<Record<'rpc' | 'event' | 'telemetry', number>>;
}

/** What `$sys.mesh.state` says of one gateway. */
interface Gateway {
  gateway: string;
  node: string;
  version: string;
  state: string;
  unix_ms: number;
  uptime_ms: number;
  sessions: number;
  subscriptions: number;
  registrations: number;
  retained: number;
  queued_bytes: number;
  lost: ByClass;
  published_per_s: number;
  delivered_per_s: number;
  forwarded_per_s: number;
  received_per_s: number;
  links: GatewayLink[];
  members: { name: string; state: string; linked: boolean; error: string | null }[];
}

const sum = ({ event, telemetry }: ByClass): number => event + telemetry;
const rate = (perSecond: number): string => `${perSecond < 10_000 ? count(perSecond) : scaled(perSecond, '')}/s`;
/** Three states that did not come. */
const SILENT_MS = 3_500;

export function Mesh() {
  useEffect(() => want('$sys.mesh.state'), []);
  beat.value;
  const all = ([...gateways.value.values()] as Gateway[]).sort((a, b) => a.gateway.localeCompare(b.gateway));
  return (
    <>
      <Notice />
      <div class="headline">
        <div>
          <h1>Mesh</h1>
          <p class="muted">
            Equal gateways, each linked to each. What one is told goes over one link to those where somebody wants it.
            Each tells of itself once a second.
          </p>
        </div>
      </div>
      {all.length === 0 ? (
        <State busy={link.value.via === 'nothing'} error={undefined} empty>
          No gateway has told its state yet.
        </State>
      ) : (
        <>
          <Sums all={all} />
          <div class="grid two mesh">
            <Card title="Links" side={<span class="muted">round trip, messages both ways</span>}>
              <Picture all={all} />
            </Card>
            <Card title="Gateways">
              <Gateways all={all} />
            </Card>
            <Card title="Every link, as its sender sees it" wide>
              <Links all={all} />
            </Card>
          </div>
        </>
      )}
    </>
  );
}

/** The mesh as a whole. */
function Sums({ all }: { all: Gateway[] }) {
  const total = (of: (one: Gateway) => number): number => all.reduce((sum, one) => sum + of(one), 0);
  const pairs = (all.length * (all.length - 1)) / 2;
  const up = total((one) => one.links.filter((each) => all.some((other) => other.node === each.node)).length) / 2;
  const silent = all.filter(isSilent).length;
  const bytes = total((one) => one.links.reduce((sum, each) => sum + each.sent_bytes_per_s, 0));
  return (
    <dl class="tiles">
      <Tile name="Gateways" value={count(all.length)} note={silent === 0 ? 'all heard' : `${count(silent)} silent`} />
      <Tile name="Links" value={count(Math.floor(up))} note={up === pairs ? 'all there are' : `of ${count(pairs)}`} />
      <Tile name="Sessions" value={count(total((one) => one.sessions))} note="clients of all gateways" />
      <Tile name="Published" value={rate(total((one) => one.published_per_s))} note="by clients" />
      <Tile name="Over links" value={rate(total((one) => one.forwarded_per_s))} note={`${scaled(bytes, 'B')}/s`} />
      <Tile name="Delivered" value={rate(total((one) => one.delivered_per_s))} note="to clients" />
      <Tile name="Dropped" value={count(total((one) => sum(one.lost)))} note="since each was started" />
    </dl>
  );
}

function isSilent(one: Gateway): boolean {
  return Date.now() - one.unix_ms > SILENT_MS;
}

function Picture({ all }: { all: Gateway[] }) {
  const [width, height] = [520, 380];
  const at = (index: number): [number, number] => {
    const turn = (index / all.length) * 2 * Math.PI - Math.PI / 2 + (all.length % 2 === 0 ? Math.PI / all.length : 0);
    return [width / 2 + Math.cos(turn) * 200, height / 2 + Math.sin(turn) * 130];
  };
  const pairs = all.flatMap((one, from) =>
    all.slice(from + 1).map((other, index) => ({ one, other, from, to: from + 1 + index })),
  );
  return (
    <svg
      class="picture"
      viewBox={`0 0 ${width} ${height}`}
      role="img"
      aria-label={`${all.length} gateways and the links between them`}
    >
      {pairs.map(({ one, other, from, to }) => {
        const there = one.links.find((each) => each.node === other.node);
        const back = other.links.find((each) => each.node === one.node);
        const [[x1, y1], [x2, y2]] = [at(from), at(to)];
        const up = there !== undefined && back !== undefined && !isSilent(one) && !isSilent(other);
        // Lines that cross in the middle are named away from it.
        const apart = Math.min(to - from, all.length - to + from);
        const share = apart === 1 ? 0.5 : 0.34;
        const [x, y] = [x1 + (x2 - x1) * share, y1 + (y2 - y1) * share];
        const busy = (there?.sent_per_s ?? 0) + (back?.sent_per_s ?? 0);
        return (
          <g key={`${one.node} ${other.node}`} class={up ? 'wire up' : 'wire down'}>
            <line x1={x1} y1={y1} x2={x2} y2={y2} stroke-width={up ? 1.5 + Math.min(5, Math.log10(1 + busy)) : 2} />
            <g transform={`translate(${x} ${y})`}>
              <rect x="-34" y="-17" width="68" height="34" rx="6" />
              <text y="-3">{up && there ? `${there.round_trip_ms.toFixed(1)} ms` : 'down'}</text>
              <text y="11" class="muted">
                {up ? rate(busy) : ''}
              </text>
            </g>
          </g>
        );
      })}
      {all.map((one, index) => {
        const [x, y] = at(index);
        return (
          <g
            key={one.node}
            class={`node ${isSilent(one) ? 'silent' : one.state} ${one.gateway === link.value.gateway ? 'ours' : ''}`}
            transform={`translate(${x} ${y})`}
          >
            <circle r="32" />
            <text y="3">{one.sessions}</text>
            <text class="unit" y="17">
              {one.sessions === 1 ? 'session' : 'sessions'}
            </text>
            <text class="name" y={y < height / 2 ? -42 : 52}>
              {one.gateway}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

function Gateways({ all }: { all: Gateway[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Gateways, a table that can be scrolled">
      <table>
        <thead>
          <tr>
            <th scope="col">Gateway</th>
            <th scope="col" class="number">
              Sessions
            </th>
            <th scope="col" class="number">
              Subscriptions
            </th>
            <th scope="col" class="number">
              Published
            </th>
            <th scope="col" class="number">
              Delivered
            </th>
            <th scope="col" class="number">
              Kept
            </th>
            <th scope="col" class="number">
              Waiting
            </th>
            <th scope="col" class="number">
              Dropped
            </th>
          </tr>
        </thead>
        <tbody>
          {all.map((one) => (
            <tr key={one.node}>
              <th scope="row">
                {one.gateway}
                <span class="muted id">
                  {isSilent(one)
                    ? `silent for ${span((Date.now() - one.unix_ms) / 1000)}`
                    : `${one.state} for ${span(one.uptime_ms / 1000)}`}{' '}
                  · {one.version}
                  {one.gateway === link.value.gateway && ' · this page'}
                </span>
              </th>
              <td class="number">{count(one.sessions)}</td>
              <td class="number">{count(one.subscriptions)}</td>
              <td class="number">{rate(one.published_per_s)}</td>
              <td class="number">{rate(one.delivered_per_s)}</td>
              <td class="number">{count(one.retained)}</td>
              <td class="number">{scaled(one.queued_bytes, 'B')}</td>
              <td class="number">{count(sum(one.lost))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Links({ all }: { all: Gateway[] }) {
  const missing = all.flatMap((one) =>
    one.members
      .filter((member) => !member.linked && member.state !== 'left')
      .map((member) => ({ from: one.gateway, ...member })),
  );
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label="Links, a table that can be scrolled">
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col" class="number">
                Round trip
              </th>
              <th scope="col" class="number">
                Sent
              </th>
              <th scope="col" class="number">
                Received
              </th>
              <th scope="col" class="number">
                Bytes sent
              </th>
              <th scope="col" class="number">
                Waiting
              </th>
              <th scope="col" class="number">
                Packets lost
              </th>
              <th scope="col" class="number">
                Dropped
              </th>
            </tr>
          </thead>
          <tbody>
            {all.flatMap((one) =>
              one.links.map((each) => (
                <tr key={`${one.node} ${each.node}`}>
                  <th scope="row">{one.gateway}</th>
                  <td>{each.peer}</td>
                  <td class="number">{each.round_trip_ms.toFixed(2)} ms</td>
                  <td class="number">{rate(each.sent_per_s)}</td>
                  <td class="number">{rate(each.received_per_s)}</td>
                  <td class="number">{scaled(each.sent_bytes_per_s, 'B')}/s</td>
                  <td class="number">
                    {scaled(each.queued_bytes.rpc + each.queued_bytes.event + each.queued_bytes.telemetry, 'B')}
                  </td>
                  <td class="number">{count(each.lost_packets)}</td>
                  <td class="number">{count(sum(each.lost))}</td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
      {missing.length > 0 && (
        <ul class="missing">
          {missing.map((one) => (
            <li key={`${one.from} ${one.name}`}>
              {one.from} has no link to <strong>{one.name}</strong>, which is {one.state}
              {one.error && `: ${one.error}`}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
