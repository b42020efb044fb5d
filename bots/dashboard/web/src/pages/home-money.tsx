// A home's contract, and what came of it in money.

import { signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { type Bill, type ContractEvent, type HomeSummary, queryOf, type Savings, type Trade, useAsk } from '../api.js';
import { count, dateOf, energy, euro, isoDay, momentOf, perKwh, power } from '../format.js';
import { contracts, pulse, tick } from '../live/store.js';
import { Card, State } from '../parts/basics.js';
import { Chart, type Columns, type Line } from '../parts/chart.js';
import { ProviderLink } from '../parts/names.js';
import { query, setQuery } from '../router.js';
import { EventList } from './provider.js';

export function Contract({ id, summary }: { id: string; summary: HomeSummary }) {
  pulse.value;
  const known = contracts.get(id)?.find((one) => one.id === summary.contract_id);
  const terms = known?.terms;
  const price = (value: bigint | undefined): string => perKwh(Number(value ?? 0n) / 1e6);
  return (
    <Card title="Contract in force">
      <dl class="facts">
        <div>
          <dt>Contract</dt>
          <dd>{summary.contract_id || 'none yet'}</dd>
        </div>
        <div>
          <dt>Provider</dt>
          <dd>{summary.provider_id && <ProviderLink id={summary.provider_id} />}</dd>
        </div>
        {terms && terms.contractType === 1 && (
          <>
            <div>
              <dt>Import by day, by night</dt>
              <dd>
                {price(terms.dayPrice)}, {price(terms.nightPrice)}
              </dd>
            </div>
            <div>
              <dt>Feed-in by day, by night</dt>
              <dd>
                {price(terms.feedInDay)}, {price(terms.feedInNight)}
              </dd>
            </div>
          </>
        )}
        {terms && terms.contractType === 2 && (
          <div>
            <dt>Price</dt>
            <dd>
              spot + {price(terms.markup)}; feed-in spot − {price(terms.markdown)}
            </dd>
          </div>
        )}
        {terms && (
          <div>
            <dt>Fee</dt>
            <dd>{euro(Number(terms.yearlyFee) / 1e9)} a year</dd>
          </div>
        )}
        {known && (
          <div>
            <dt>Since</dt>
            <dd>{dateOf(known.start)}</dd>
          </div>
        )}
        <div>
          <dt>Until</dt>
          <dd>{summary.contract_end_time > 0 ? dateOf(summary.contract_end_time) : 'another begins'}</dd>
        </div>
        {!terms && (
          <div>
            <dt>Terms</dt>
            <dd class="muted">
              {summary.contract_id
                ? "those of the region's spot tariff, or confirmed before the mesh was started"
                : '–'}
            </dd>
          </div>
        )}
      </dl>
    </Card>
  );
}

export function BillCard({ id }: { id: string }) {
  const now = tick.value;
  const running = now ? isoDay(now.time).slice(0, 7) : '';
  const first = now ? isoDay(now.startTime).slice(0, 7) : '';
  const month = query.value.get('month') ?? running;
  const asked = useAsk<Bill>(() => {
    const at = query.value.get('month') ?? (tick.value ? isoDay(tick.value.time).slice(0, 7) : '');
    return at ? queryOf('get_home_bill', { home_id: id, month: at }) : '';
  }, 3_000);
  const { data, error, busy } = asked.value;
  return (
    <Card
      title="Bill"
      side={
        <label class="month">
          <span class="sr">Month</span>
          <input
            type="month"
            value={month}
            min={first}
            max={running}
            onChange={({ currentTarget }) =>
              setQuery({ month: currentTarget.value === running ? '' : currentTarget.value })
            }
          />
        </label>
      }
    >
      {!data && <State busy={busy} error={error} />}
      {data && (
        <>
          <div class="scroll" tabIndex={0} role="region" aria-label="Bill, a table that can be scrolled">
            <table class="bill">
              <thead>
                <tr>
                  <th scope="col">Contract</th>
                  <th scope="col" class="number">
                    Import
                  </th>
                  <th scope="col" class="number">
                    Cost
                  </th>
                  <th scope="col" class="number">
                    Feed-in
                  </th>
                  <th scope="col" class="number">
                    Fee
                  </th>
                  <th scope="col" class="number">
                    Minimum
                  </th>
                  <th scope="col" class="number">
                    Discount
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.lines.map((line) => (
                  <tr key={line.contract_id}>
                    <th scope="row">
                      <ProviderLink id={line.provider_id} />
                    </th>
                    <td class="number">{energy(line.import_wh)}</td>
                    <td class="number">{euro(line.cost)}</td>
                    <td class="number">{euro(-line.revenue)}</td>
                    <td class="number">{euro(line.fee)}</td>
                    <td class="number">{euro(line.minimum_charge)}</td>
                    <td class="number">{euro(-line.discount)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <dl class="facts total">
            <div>
              <dt>Commission, a fifth of {euro(data.savings)} saved</dt>
              <dd>{euro(data.commission)}</dd>
            </div>
            <div>
              <dt>{data.final ? 'Total' : 'Total so far'}</dt>
              <dd>
                <strong>{euro(data.total)}</strong>
              </dd>
            </div>
            <div>
              <dt>Month's peak, not billed</dt>
              <dd>
                {power(data.month_peak_w)}{' '}
                {data.month_peak_time > 0 && <span class="muted">{momentOf(data.month_peak_time)}</span>}
              </dd>
            </div>
          </dl>
          <p class="muted basis">The energy part only, without VAT, grid fees and levies.</p>
        </>
      )}
    </Card>
  );
}

export function Trades({ id }: { id: string }) {
  const since = useMemo(() => signal(0), []);
  useEffect(() => {
    const look = (): void => {
      since.value = Math.floor(((tick.peek()?.time ?? 0) - 2 * 86_400) / 3600) * 3600;
    };
    look();
    const timer = setInterval(look, 3_000);
    return () => clearInterval(timer);
  }, []);
  const asked = useAsk<{ trades: Trade[] }>(() =>
    since.value > 0 ? queryOf('get_home_trades', { home_id: id, from_time: since.value, page_size: 100 }) : '',
  );
  const { data, error, busy } = asked.value;
  const trades = [...(data?.trades ?? [])].reverse();
  return (
    <Card title="Trades of the last two days">
      {!data && <State busy={busy} error={error} />}
      {data && trades.length === 0 && (
        <State busy={false} error={undefined} empty>
          No whole hour yet.
        </State>
      )}
      {trades.length > 0 && (
        <div class="scroll tall" tabIndex={0} role="region" aria-label="Trades, a table that can be scrolled">
          <table>
            <thead>
              <tr>
                <th scope="col">Hour</th>
                <th scope="col" class="number">
                  Import
                </th>
                <th scope="col" class="number">
                  Price
                </th>
                <th scope="col" class="number">
                  Cost
                </th>
                <th scope="col" class="number">
                  Export
                </th>
                <th scope="col" class="number">
                  Revenue
                </th>
              </tr>
            </thead>
            <tbody>
              {trades.map((one) => (
                <tr key={one.time}>
                  <th scope="row" class="time">
                    {momentOf(one.time)}
                  </th>
                  <td class="number">{count(one.import_wh)} Wh</td>
                  <td class="number">{perKwh(one.import_price)}</td>
                  <td class="number">{euro(one.cost)}</td>
                  <td class="number">{count(one.export_wh)} Wh</td>
                  <td class="number">{euro(one.revenue)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

const SAVED: Line[] = [{ name: 'Saved', colour: 'gives', kind: 'bars', format: euro }];

export function SavingsCard({ id }: { id: string }) {
  const asked = useAsk<Savings>(() => queryOf('get_savings_history', { home_id: id }), 3_000);
  const columns = useMemo(
    () => (): Columns => {
      const points = asked.value.data?.points ?? [];
      return [points.map((one) => Date.parse(`${one.month}-15T00:00:00Z`) / 1000), points.map((one) => one.savings)];
    },
    [],
  );
  const { data, error, busy } = asked.value;
  const commission = data?.points.reduce((sum, one) => sum + one.commission, 0) ?? 0;
  return (
    <Card title="Savings by month" side={data && <span class="muted">commission {euro(commission)}, a fifth</span>}>
      {!data && <State busy={busy} error={error} />}
      {data && data.points.length === 0 && (
        <State busy={false} error={undefined} empty>
          Nothing saved yet: this home has not switched.
        </State>
      )}
      {data && data.points.length > 0 && (
        <Chart label="Savings by month" lines={SAVED} columns={columns} height={220} />
      )}
    </Card>
  );
}

export function Events({ id }: { id: string }) {
  const asked = useAsk<{ events: ContractEvent[] }>(
    () => queryOf('get_contract_events', { home_id: id, page_size: 20 }),
    3_000,
  );
  const { data, error, busy } = asked.value;
  return (
    <Card title="What happened to its contracts">
      {!data && <State busy={busy} error={error} />}
      <State busy={false} error={undefined} empty={data?.events.length === 0}>
        Nothing yet: it is on its region's spot tariff.
      </State>
      <EventList of="home" events={data?.events ?? []} />
    </Card>
  );
}
