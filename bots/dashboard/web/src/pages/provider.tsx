// One provider: what it asks, what it asked before, and who stayed.

import { useEffect, useMemo } from 'preact/hooks';
import { type ContractEvent, type Offer, type ProviderDetail, queryOf, useAsk } from '../api.js';
import { count, dateOf, energy, euro, momentOf, percent, perKwh, regionName } from '../format.js';
import { want } from '../live/link.js';
import { Card, State, Tile } from '../parts/basics.js';
import { Chart, type Columns, type Line } from '../parts/chart.js';
import { Notice } from '../parts/link-badge.js';
import { HomeLink, ProviderLink } from '../parts/names.js';

const cents = (value: number): string => `${value.toFixed(1)} ct`;
const FIXED: Line[] = [
  { name: 'Day', colour: 'production', kind: 'steps', format: cents },
  { name: 'Night', colour: 'consumption', kind: 'steps', format: cents },
  { name: 'Feed-in', colour: 'gives', kind: 'steps', format: cents },
];
const DYNAMIC: Line[] = [
  { name: 'Markup', colour: 'production', kind: 'steps', format: cents },
  { name: 'Markdown', colour: 'gives', kind: 'steps', format: cents },
];
const CUSTOMERS: Line[] = [{ name: 'Customers', colour: 'accent', kind: 'steps', format: count, whole: true }];

export function ProviderPage({ id }: { id: string }) {
  useEffect(() => want('be.cortexiq.home.initialized'), []);
  const asked = useAsk<ProviderDetail>(() => queryOf('get_provider', { provider_id: id }), 2_000);
  const events = useAsk<{ events: ContractEvent[] }>(
    () => queryOf('get_contract_events', { provider_id: id, page_size: 12 }),
    3_000,
  );
  const { data, error, busy } = asked.value;
  const prices = useMemo(() => (): Columns => priceColumns(asked.value.data?.offers ?? []), []);
  const customers = useMemo(
    () => (): Columns => {
      const days = [...(asked.value.data?.customers ?? [])].reverse();
      return [days.map(({ day }) => Date.parse(`${day}T22:00:00Z`) / 1000), days.map((one) => one.customers)];
    },
    [],
  );
  if (!data) {
    return (
      <>
        <p class="crumbs">
          <a href="/providers">Providers</a>
        </p>
        <h1>{id}</h1>
        <State busy={busy} error={error} />
      </>
    );
  }
  const { provider, offer, ...sums } = data.summary;
  const dynamic = offer?.contract_type === 'dynamic';
  return (
    <>
      <p class="crumbs">
        <a href="/providers">Providers</a>
      </p>
      <Notice />
      <div class="headline">
        <div>
          <h1>{provider.name}</h1>
          <p class="muted">
            {provider.provider_id} · {regionName(provider.region)} · <span class="chip">{provider.strategy}</span> aims
            at {percent(provider.market_share_target_pct)} of all homes
          </p>
        </div>
        <a class="button" href={`/homes?${new URLSearchParams({ provider: provider.provider_id })}`}>
          Its customers
        </a>
      </div>
      <dl class="tiles">
        <Tile name="Customers" value={count(sums.customers)} note={`${percent(sums.market_share_pct)} of homes`} />
        <Tile name="Sold" value={euro(sums.revenue)} note={energy(sums.import_wh)} />
        <Tile name="Paid for feed-in" value={euro(sums.paid)} note={energy(sums.export_wh)} />
        <Tile
          name={dynamic ? 'Markup now' : 'Day price now'}
          value={offer ? perKwh(dynamic ? offer.markup : offer.day_price) : '–'}
          note={offer ? (dynamic ? 'over the spot price' : `night ${perKwh(offer.night_price)}`) : 'no offer yet'}
        />
      </dl>
      <div class="grid two">
        <Card title={dynamic ? 'Markup and markdown' : 'Prices'} side={<span class="muted">of a kWh</span>}>
          {data.offers.length === 0 ? (
            <State busy={false} error={undefined} empty>
              No offer yet.
            </State>
          ) : (
            <Chart label={`Offers of ${provider.name}`} lines={dynamic ? DYNAMIC : FIXED} columns={prices} />
          )}
        </Card>
        <Card title="Customers at the end of each day">
          {data.customers.length === 0 ? (
            <State busy={false} error={undefined} empty>
              No day has passed yet.
            </State>
          ) : (
            <Chart label={`Customers of ${provider.name}`} lines={CUSTOMERS} columns={customers} />
          )}
        </Card>
        {offer && <Terms offer={offer} />}
        <Card title="What happened last">
          <State
            busy={events.value.busy && !events.value.data}
            error={events.value.error}
            empty={events.value.data?.events.length === 0}
          >
            Nothing yet.
          </State>
          <EventList of="provider" events={events.value.data?.events ?? []} />
        </Card>
      </div>
    </>
  );
}

function priceColumns(offers: Offer[]): Columns {
  const old = [...offers].reverse();
  const dynamic = offers[0]?.contract_type === 'dynamic';
  const column = (field: keyof Offer): number[] => old.map((offer) => Number(offer[field]) * 100);
  const times = old.map((offer) => offer.valid_from);
  return dynamic
    ? [times, column('markup'), column('markdown')]
    : [times, column('day_price'), column('night_price'), column('feed_in_day')];
}

function Terms({ offer }: { offer: Offer }) {
  return (
    <Card title="Offer in force">
      <dl class="facts">
        <div>
          <dt>Kind</dt>
          <dd>{offer.contract_type}</dd>
        </div>
        {offer.contract_type === 'dynamic' ? (
          <>
            <div>
              <dt>Import</dt>
              <dd>spot price + {perKwh(offer.markup)}</dd>
            </div>
            <div>
              <dt>Feed-in</dt>
              <dd>spot price − {perKwh(offer.markdown)}</dd>
            </div>
          </>
        ) : (
          <>
            <div>
              <dt>Import by day</dt>
              <dd>{perKwh(offer.day_price)}</dd>
            </div>
            <div>
              <dt>Import by night</dt>
              <dd>{perKwh(offer.night_price)}</dd>
            </div>
            <div>
              <dt>Feed-in by day, by night</dt>
              <dd>
                {perKwh(offer.feed_in_day)}, {perKwh(offer.feed_in_night)}
              </dd>
            </div>
          </>
        )}
        <div>
          <dt>Fee</dt>
          <dd>{euro(offer.yearly_fee)} a year</dd>
        </div>
        <div>
          <dt>At least</dt>
          <dd>{count(offer.minimum_monthly_kwh)} kWh a month</dd>
        </div>
        <div>
          <dt>For switching</dt>
          <dd>{euro(offer.switching_discount)}</dd>
        </div>
        <div>
          <dt>Runs for</dt>
          <dd>{offer.duration_months === 0 ? 'as long as wanted' : `${offer.duration_months} months`}</dd>
        </div>
        <div>
          <dt>Can be accepted</dt>
          <dd>
            {dateOf(offer.valid_from)} to {dateOf(offer.valid_until)}
          </dd>
        </div>
      </dl>
    </Card>
  );
}

/** Events of contracts, newest first; on a home's or provider's own page it is not named. */
export function EventList({ events, of }: { events: ContractEvent[]; of: 'home' | 'provider' }) {
  return (
    <ol class="feed">
      {events.map((one, index) => (
        <li key={`${one.time} ${one.home_id} ${one.event} ${index}`}>
          <time class="muted">{momentOf(one.time)}</time>
          <span>
            <span class={`chip ${one.event}`}>{one.event}</span> {of === 'provider' && <HomeLink id={one.home_id} />}
            {of === 'provider' && one.from_provider_id && (
              <>
                {' '}
                <span class="muted">from</span> <ProviderLink id={one.from_provider_id} />
              </>
            )}
            {of === 'home' && one.provider_id && <ProviderLink id={one.provider_id} />}
            {one.detail && <span class="muted"> {one.detail}</span>}
          </span>
          <strong>{one.projected_savings !== 0 && euro(one.projected_savings)}</strong>
        </li>
      ))}
    </ol>
  );
}
