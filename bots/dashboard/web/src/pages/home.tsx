// One home: its meters now, its history, its contract and its money.

import { useEffect } from 'preact/hooks';
import { type HomeSummary, queryOf, useAsk } from '../api.js';
import { count, dateOf, ean, euro, momentOf, power, regionName } from '../format.js';
import { want } from '../live/link.js';
import { fast, homes, pulse } from '../live/store.js';
import { Card, State, Tile } from '../parts/basics.js';
import { Flow } from '../parts/flow.js';
import { Notice } from '../parts/link-badge.js';
import { ProviderLink } from '../parts/names.js';
import { History } from './history.js';
import { BillCard, Contract, Events, SavingsCard, Trades } from './home-money.js';

export function HomePage({ id }: { id: string }) {
  useEffect(() => want('be.cortexiq.home.measured', 'be.cortexiq.provider.contract.confirmed'), []);
  const asked = useAsk<HomeSummary>(() => queryOf('get_home', { home_id: id }), 2_000);
  const { data, error, busy } = asked.value;
  if (!data) {
    return (
      <>
        <p class="crumbs">
          <a href="/homes">Homes</a>
        </p>
        <h1>{id}</h1>
        <State busy={busy} error={error} />
      </>
    );
  }
  const { home } = data;
  return (
    <>
      <p class="crumbs">
        <a href="/homes">Homes</a> <span aria-hidden="true">/</span>{' '}
        <a href={`/homes?region=${home.region}`}>{regionName(home.region)}</a> <span aria-hidden="true">/</span>{' '}
        <a href={`/homes?${new URLSearchParams({ place: home.city })}`}>{home.city}</a>
      </p>
      <Notice />
      <div class="headline">
        <div>
          <h1>{home.name}</h1>
          <p class="muted">
            {home.home_id} · {home.street}, {home.postal_code} {home.city} · {home.iot_provider}
          </p>
        </div>
        <p class="chips">
          <Equipment summary={data} />
        </p>
      </div>
      <Money summary={data} />
      <div class="grid two">
        <Card title="Power" side={<Reading id={id} />}>
          <Now id={id} summary={data} />
        </Card>
        <Meters id={id} summary={data} />
      </div>
      <History id={id} />
      <div class="grid two">
        <Contract id={id} summary={data} />
        <BillCard id={id} />
        <Trades id={id} />
        <div class="column">
          <SavingsCard id={id} />
          <Events id={id} />
        </div>
      </div>
    </>
  );
}

function Equipment({ summary: { home, connected } }: { summary: HomeSummary }) {
  return (
    <>
      <span class={`chip ${connected ? 'good' : 'bad'}`}>{connected ? 'connected' : 'not connected'}</span>
      {home.solar_capacity_wp > 0 && (
        <span class="chip">
          {(home.solar_capacity_wp / 1000).toFixed(1)} kWp, {home.solar_tilt_deg}° {compass(home.solar_azimuth_deg)}
        </span>
      )}
      {home.battery_capacity_wh > 0 && (
        <span class="chip">battery {(home.battery_capacity_wh / 1000).toFixed(1)} kWh</span>
      )}
      {home.heat_pump_kwh > 0 && <span class="chip">heat pump</span>}
      {home.electric_vehicle_kwh > 0 && <span class="chip">electric car</span>}
      <span class="chip">{count(home.annual_consumption_kwh)} kWh a year</span>
    </>
  );
}

function compass(degrees: number): string {
  return ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'][Math.round(degrees / 45) % 8] ?? '';
}

function Money({ summary }: { summary: HomeSummary }) {
  return (
    <dl class="tiles">
      <Tile name="Bought" value={euro(summary.cost)} />
      <Tile name="Sold" value={euro(summary.revenue)} />
      <Tile
        name="Saved by switching"
        value={euro(summary.savings)}
        note={
          ['over its spot tariff', '1 switch'][summary.contract_switches] ??
          `${count(summary.contract_switches)} switches`
        }
      />
      <Tile
        name="Provider"
        value={summary.provider_id ? <ProviderLink id={summary.provider_id} /> : '–'}
        note={summary.contract_end_time > 0 ? `until ${dateOf(summary.contract_end_time)}` : 'open'}
      />
    </dl>
  );
}

/** The newest reading, live if it comes, else the stored one. */
function readingOf(id: string, { latest }: HomeSummary) {
  const now = homes.get(id)?.now;
  if (now) return now;
  if (!latest) return undefined;
  return {
    time: latest.time,
    production: latest.production_w,
    consumption: latest.consumption_w,
    battery: latest.battery_w,
    grid: latest.grid_w,
    charge: latest.state_of_charge_pct,
    registers: [latest.import_t1_wh, latest.import_t2_wh, latest.export_t1_wh, latest.export_t2_wh] as const,
    tariff: latest.tariff,
    peak: latest.month_peak_w,
    peakTime: latest.month_peak_time,
    provisional: false,
  };
}

function Reading({ id }: { id: string }) {
  pulse.value;
  const now = homes.get(id)?.now;
  return (
    <span class="muted">
      {now
        ? fast.value
          ? dateOf(now.time)
          : `${momentOf(now.time)}${now.provisional ? ', running' : ''}`
        : 'not heard yet'}
    </span>
  );
}

function Now({ id, summary }: { id: string; summary: HomeSummary }) {
  pulse.value;
  const now = readingOf(id, summary);
  if (!now)
    return (
      <State busy={false} error={undefined} empty>
        This home has not measured yet.
      </State>
    );
  return (
    <Flow
      production={now.production}
      consumption={now.consumption}
      battery={now.battery}
      grid={now.grid}
      charge={now.charge}
      hasSolar={summary.home.solar_capacity_wp > 0}
      hasBattery={summary.home.battery_capacity_wh > 0}
    />
  );
}

function Meters({ id, summary }: { id: string; summary: HomeSummary }) {
  pulse.value;
  const now = readingOf(id, summary);
  const { home } = summary;
  const registers = [
    ['1.8.1', 'import by day', now?.registers[0]],
    ['1.8.2', 'import by night', now?.registers[1]],
    ['2.8.1', 'export by day', now?.registers[2]],
    ['2.8.2', 'export by night', now?.registers[3]],
  ] as const;
  return (
    <Card title="Meter" side={now && <span class="chip">{now.tariff === 1 ? 'day tariff' : 'night tariff'}</span>}>
      <dl class="facts meter">
        {registers.map(([code, name, value]) => (
          <div key={code}>
            <dt>
              <code>{code}</code> {name}
            </dt>
            <dd>{value === undefined ? '–' : `${(value / 1000).toFixed(3)} kWh`}</dd>
          </div>
        ))}
        <div>
          <dt>
            <code>1.6.0</code> month's peak
          </dt>
          <dd>
            {now ? power(now.peak) : '–'}{' '}
            {now && now.peakTime > 0 && <span class="muted">{momentOf(now.peakTime)}</span>}
          </dd>
        </div>
        <div>
          <dt>EAN, connection</dt>
          <dd class="ean">{ean(home.meter_ean)}</dd>
        </div>
        {home.injection_ean && (
          <div>
            <dt>EAN, injection</dt>
            <dd class="ean">{ean(home.injection_ean)}</dd>
          </div>
        )}
      </dl>
    </Card>
  );
}
