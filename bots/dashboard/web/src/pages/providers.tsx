// Who sells, at what price, to how many.

import { type ProviderSummary, useAsk } from '../api.js';
import { cents, count, euro, percent, regionName } from '../format.js';
import { Bar, Card, Choice, State } from '../parts/basics.js';
import { Notice } from '../parts/link-badge.js';
import { query, setQuery } from '../router.js';

const REGIONS = [
  ['', 'All'],
  ['antwerp', 'Antwerp'],
  ['brabant', 'Brabant'],
  ['east-flanders', 'East Flanders'],
] as const;

export function Providers() {
  const asked = useAsk<{ providers: ProviderSummary[]; total: number }>(
    () => `get_providers?page_size=100&region=${query.value.get('region') ?? ''}`,
    2_000,
  );
  const { data, error, busy } = asked.value;
  const region = (query.value.get('region') ?? '') as (typeof REGIONS)[number][0];
  const providers = data?.providers ?? [];
  const most = Math.max(0.1, ...providers.map((one) => one.market_share_pct));
  return (
    <>
      <Notice />
      <div class="headline">
        <div>
          <h1>Providers</h1>
          <p class="muted">{data ? `${count(data.total)} compete; homes may buy from any region` : 'Looking'}</p>
        </div>
        <Choice label="Region" of={REGIONS} value={region} onChoose={(chosen) => setQuery({ region: chosen })} />
      </div>
      <Card title="Shares and prices" wide>
        {!data && <State busy={busy} error={error} />}
        {data && providers.length === 0 && (
          <State busy={false} error={undefined} empty>
            No provider has said who it is yet.
          </State>
        )}
        {providers.length > 0 && (
          <div class="scroll" tabIndex={0} role="region" aria-label="Providers, a table that can be scrolled">
            <table class="providers">
              <thead>
                <tr>
                  <th scope="col">Provider</th>
                  <th scope="col">Strategy</th>
                  <th scope="col">Share of homes</th>
                  <th scope="col" class="number">
                    Customers
                  </th>
                  <th scope="col">Offer</th>
                  <th scope="col" class="number">
                    Day <span class="unit">ct/kWh</span>
                  </th>
                  <th scope="col" class="number">
                    Night <span class="unit">ct/kWh</span>
                  </th>
                  <th scope="col" class="number">
                    Feed-in <span class="unit">ct/kWh</span>
                  </th>
                  <th scope="col" class="number">
                    Fee a year
                  </th>
                  <th scope="col" class="number">
                    Sold
                  </th>
                </tr>
              </thead>
              <tbody>
                {providers.map((one) => (
                  <Row key={one.provider.provider_id} one={one} most={most} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Card>
    </>
  );
}

function Row({ one, most }: { one: ProviderSummary; most: number }) {
  const { provider, offer } = one;
  const dynamic = offer?.contract_type === 'dynamic';
  return (
    <tr>
      <th scope="row">
        <a href={`/providers/${provider.provider_id}`}>{provider.name}</a>
        <span class="muted id">
          {provider.provider_id} · {regionName(provider.region)}
        </span>
      </th>
      <td>
        <span class="chip">{provider.strategy}</span>
      </td>
      <td class="share">
        <Bar share={one.market_share_pct / most} />
        <span>{percent(one.market_share_pct)}</span>
      </td>
      <td class="number">{count(one.customers)}</td>
      <td>{offer ? offer.contract_type : <span class="muted">none yet</span>}</td>
      <td class="number">{offer ? (dynamic ? `spot + ${cents(offer.markup)}` : cents(offer.day_price)) : '–'}</td>
      <td class="number">{offer ? (dynamic ? 'the same' : cents(offer.night_price)) : '–'}</td>
      <td class="number">{offer ? (dynamic ? `spot − ${cents(offer.markdown)}` : cents(offer.feed_in_day)) : '–'}</td>
      <td class="number">{offer ? euro(offer.yearly_fee) : '–'}</td>
      <td class="number">{euro(one.revenue)}</td>
    </tr>
  );
}
