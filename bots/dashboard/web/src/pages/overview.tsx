// The whole market at a glance.

import { computed, signal, useSignalEffect } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { type ContractEvent, queryOf, useAsk, type Overview as Answer } from '../api.js';
import { count, dateOf, euro, momentOf, percent, power, regionName, span } from '../format.js';
import { want } from '../live/link.js';
import { beat, fast, remember, type Switch, switches, tick, totals } from '../live/store.js';
import { Bar, Card, Choice, State, Tile } from '../parts/basics.js';
import { Chart, type Columns, type Line } from '../parts/chart.js';
import { DayNight, YearBar } from '../parts/clock.js';
import { Notice } from '../parts/link-badge.js';
import { HomeLink, ProviderLink } from '../parts/names.js';
import { balances, BelgianMap } from '../parts/map.js';
import { append, load, type Range, RANGES, series, within } from './series.js';

export function Overview() {
  useEffect(
    () => want('be.cortexiq.home.measured', 'be.cortexiq.home.initialized', 'be.cortexiq.home.contract.switched'),
    [],
  );
  useEffect(() => void load(), []);
  return (
    <>
      <Notice />
      <div class="headline">
        <div>
          <h1>Belgian energy market</h1>
          <Today />
        </div>
        <div class="season">
          <DayNight />
          <YearBar />
        </div>
      </div>
      <Tiles />
      <div class="grid overview">
        <div class="column">
          <Card title="Net balance by municipality" side={<Basis />}>
            <BelgianMap />
          </Card>
          <Regions />
        </div>
        <div class="column">
          <PowerCard />
          <Switches />
        </div>
      </div>
    </>
  );
}

function Today() {
  beat.value;
  const [now, sums] = [tick.value, totals.value];
  return (
    <p class="muted">
      {now && sums
        ? `${count(sums.homes)} homes and ${count(sums.providers)} providers trade over a mesh of gateways since ${dateOf(now.startTime)}`
        : now
          ? `Since ${dateOf(now.startTime)}`
          : 'Waiting for the clock'}
    </p>
  );
}

function Basis() {
  return <span class="muted">{fast.value ? 'mean of 24 hours' : 'at this moment'}</span>;
}

/** Power now, or its mean over 24 hours, of all homes that are heard. */
function powers(): { production: number; consumption: number } | undefined {
  const { regions } = balances();
  if (regions.size === 0) return undefined;
  const sum = (field: 'production' | 'consumption'): number =>
    [...regions.values()].reduce((all, one) => all + one[field], 0);
  return { production: sum('production'), consumption: sum('consumption') };
}

function Tiles() {
  beat.value;
  const asked = useAsk<Answer>(() => (totals.value ? '' : 'get_overview'));
  const now = totals.value ?? asked.value.data?.totals;
  const both = powers() ?? (now && { production: now.production_w, consumption: now.consumption_w });
  const dash = '–';
  const basis = fast.value ? 'mean of 24 h' : 'now';
  return (
    <dl class="tiles" data-run={now?.run}>
      <Tile name="Production" tone="production" value={both ? power(both.production) : dash} note={both && basis} />
      <Tile name="Consumption" tone="consumption" value={both ? power(both.consumption) : dash} note={both && basis} />
      <Tile name="Bought" value={now ? euro(now.cost) : dash} note={now && `${count(now.import_wh / 1000)} kWh`} />
      <Tile name="Sold" value={now ? euro(now.revenue) : dash} note={now && `${count(now.export_wh / 1000)} kWh`} />
      <Tile
        name="Saved by switching"
        value={now ? euro(now.savings) : dash}
        note={now && (now.contract_switches === 1 ? '1 switch' : `${count(now.contract_switches)} switches`)}
      />
      <Tile
        name="Homes"
        value={now ? count(now.homes) : dash}
        note={now && (now.connected_homes === now.homes ? 'all connected' : `${count(now.connected_homes)} connected`)}
      />
      <Tile
        name="Measurements"
        value={now ? `${count(now.measured_per_second)}/s` : dash}
        note={now && `${count(now.measured)} in all`}
      />
    </dl>
  );
}

const POWER: Line[] = [
  { name: 'Consumption', colour: 'consumption', format: power },
  { name: 'Production', colour: 'production', kind: 'area', format: power },
];

function PowerCard() {
  const chosen = useMemo(() => signal<Range | undefined>(undefined), []);
  // Days are worth looking at while they can be.
  const range = useMemo(() => computed<Range>(() => chosen.value ?? (fast.value ? 'all' : '7')), []);
  // Of many days the sun's ups and downs would show nothing.
  const means = useMemo(() => computed(() => fast.value || range.value === '30' || range.value === 'all'), []);
  const columns = useMemo(
    () => (): Columns => {
      beat.value;
      const now = totals.value;
      if (now) append(now);
      return within(series.value, range.value, means.value);
    },
    [],
  );
  return (
    <Card
      title="Production and consumption"
      side={<Choice label="Range" of={RANGES} value={range.value} onChoose={(one) => (chosen.value = one)} />}
    >
      <Chart label="Production and consumption of all homes over time" lines={POWER} columns={columns} height={260} />
      {means.value && (
        <p class="muted basis">Each point is the mean of the 24 hours before it, from the meters' registers.</p>
      )}
    </Card>
  );
}

function Switches() {
  // Those of before come once, the others as they happen.
  const known = useMemo(() => signal(false), []);
  const asked = useAsk<{ events: ContractEvent[] }>(() =>
    known.value ? '' : queryOf('get_contract_events', { page_size: 100 }),
  );
  useSignalEffect(() => {
    const { data } = asked.value;
    if (!data) return;
    known.value = true;
    remember(data.events.filter((one) => one.event === 'switched').map(switchOf));
  });
  const list = switches.value.slice(0, 9);
  const { error, busy } = asked.value;
  return (
    <Card title="Contract switches" side={<a href="/providers">Providers</a>}>
      {list.length === 0 && (
        <State busy={busy} error={error} empty>
          No home has switched yet. Each looks at the offers once a day, and a switch needs thirty days.
        </State>
      )}
      <ol class="feed">
        {list.map((one) => (
          <li key={one.id}>
            <time class="muted">{momentOf(one.time)}</time>
            <span>
              <HomeLink id={one.home} />
              <span class="way">
                <ProviderLink id={one.from} /> <span class="sr">to</span>
                <span aria-hidden="true">→</span> <ProviderLink id={one.to} />
              </span>
            </span>
            <strong>{euro(one.savings)}</strong>
          </li>
        ))}
      </ol>
      {list.length > 0 && <p class="muted basis">At the right what the home expects to save in a year.</p>}
    </Card>
  );
}

function switchOf(one: ContractEvent): Switch {
  const { contract_id: id, time, home_id: home, from_provider_id: from, provider_id: to } = one;
  return { id, time, home, from, to, savings: one.projected_savings };
}

function Regions() {
  beat.value;
  const asked = useAsk<Answer>(() => 'get_overview', 3_000);
  const { data, error, busy } = asked.value;
  const { regions, seconds } = balances();
  const most = Math.max(1, ...[...regions.values()].map((one) => Math.max(one.production, one.consumption)));
  return (
    <Card
      title="Regions"
      side={
        fast.value && seconds > 0 ? (
          <span class="muted">power: mean of {span(Math.min(seconds, 86_400))}</span>
        ) : undefined
      }
    >
      {!data && <State busy={busy} error={error} />}
      <div class="regions">
        {data?.regions.map((one) => {
          const live = regions.get(one.region);
          const own = one.consumption_wh > 0 ? 100 * (1 - one.import_wh / one.consumption_wh) : 0;
          return (
            <article key={one.region} class="region-card">
              <h3>
                <a href={`/homes?region=${one.region}`}>{regionName(one.region)}</a>{' '}
                <span class="muted">{count(one.homes)} homes</span>
              </h3>
              <dl>
                <div>
                  <dt>Production</dt>
                  <dd>{power(live?.production ?? one.production_w)}</dd>
                  <Bar share={(live?.production ?? one.production_w) / most} tone="production" />
                </div>
                <div>
                  <dt>Consumption</dt>
                  <dd>{power(live?.consumption ?? one.consumption_w)}</dd>
                  <Bar share={(live?.consumption ?? one.consumption_w) / most} tone="consumption" />
                </div>
                <div>
                  <dt>Bought</dt>
                  <dd>{euro(one.cost)}</dd>
                </div>
                <div>
                  <dt>Sold</dt>
                  <dd>{euro(one.revenue)}</dd>
                </div>
                <div>
                  <dt>Not from the grid</dt>
                  <dd>{percent(own)}</dd>
                </div>
              </dl>
            </article>
          );
        })}
      </div>
    </Card>
  );
}
