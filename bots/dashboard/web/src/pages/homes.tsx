// Finding homes: by name, EAN or place, by region, by provider.

import { signal, useSignalEffect } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { AGAIN_MS, type ApiError, ask, type HomesPage, type HomeSummary, type Place, queryOf, useAsk } from '../api.js';
import { count, euro, power, regionName } from '../format.js';
import { want } from '../live/link.js';
import { homes as live, providers, pulse } from '../live/store.js';
import { Card, State } from '../parts/basics.js';
import { Notice } from '../parts/link-badge.js';
import { ProviderLink } from '../parts/names.js';
import { query, setQuery } from '../router.js';

const PAGE = 50;

/** The question that the address asks. */
function question(cursor = ''): string {
  const { q, place, region, provider } = Object.fromEntries(query.value) as Record<string, string | undefined>;
  const page = { page_size: PAGE, cursor };
  if (q && q.trim().length >= 2) return queryOf('search_homes', { query: q.trim(), ...page });
  if (place) return queryOf('get_homes_by_location', { city: place, ...page });
  return queryOf('get_homes', { region, provider_id: provider, ...page });
}

export function Homes() {
  useEffect(() => want('be.cortexiq.home.measured'), []);
  const first = useAsk<HomesPage>(() => question());
  const more = useMemo(
    () =>
      signal<{ of: string; homes: HomeSummary[]; cursor: string; busy: boolean }>({
        of: '',
        homes: [],
        cursor: '',
        busy: false,
      }),
    [],
  );
  useSignalEffect(() => {
    const data = first.value.data;
    more.value = { of: question(), homes: [], cursor: data?.next_cursor ?? '', busy: false };
  });
  const { data, error, busy } = first.value;
  const all = [...(data?.homes ?? []), ...more.value.homes];
  const parts = Object.fromEntries(query.value) as Record<string, string | undefined>;
  const next = async (): Promise<void> => {
    const { of, homes, cursor } = more.value;
    more.value = { ...more.value, busy: true };
    const page = await ask<HomesPage>(question(cursor)).catch(() => undefined);
    if (more.value.of !== of) return;
    more.value = page
      ? { of, homes: [...homes, ...page.homes], cursor: page.next_cursor, busy: false }
      : { ...more.value, busy: false };
  };
  return (
    <>
      <Notice />
      <div class="headline">
        <div>
          <h1>Homes</h1>
          <p class="muted" role="status">
            {data
              ? `${count(data.total)} ${data.total === 1 ? 'home' : 'homes'}${parts['place'] ? ` in ${parts['place']}` : ''}${parts['provider'] ? ` of ${providers.value.get(parts['provider']) ?? parts['provider']}` : ''}`
              : error
                ? 'Not known at the moment'
                : 'Looking'}
          </p>
        </div>
        <Search />
      </div>
      <div class="grid homes">
        <Places />
        <Card title={titleOf(parts)} id="found">
          {!data && <State busy={busy} error={error} />}
          {data && data.total === 0 && (
            <State busy={false} error={undefined} empty>
              No home has that in its name, EAN, place or id.{' '}
              <button
                type="button"
                class="link-like"
                onClick={() => setQuery({ q: '', place: '', region: '', provider: '' })}
              >
                Show all
              </button>
            </State>
          )}
          {error && data === undefined ? null : all.length > 0 && <HomesTable homes={all} />}
          {more.value.cursor !== '' && (
            <button type="button" class="more" disabled={more.value.busy} onClick={() => void next()}>
              {more.value.busy ? 'Loading' : `Show more of ${count(data?.total ?? 0)}`}
            </button>
          )}
        </Card>
      </div>
    </>
  );
}

/** What is listed. */
function titleOf({ q, place, region, provider }: Record<string, string | undefined>): string {
  if (q && q.trim().length >= 2) return `Found for “${q.trim()}”`;
  if (provider) return `Customers of ${providers.value.get(provider) ?? provider}`;
  return place ?? (region ? regionName(region) : 'All homes');
}

/** Where places stand beside the homes, not above them. */
const WIDE = matchMedia('(min-width: 821px)');

function Search() {
  let timer: ReturnType<typeof setTimeout>;
  const text = query.value.get('q') ?? '';
  return (
    <form class="search" role="search" onSubmit={(event) => event.preventDefault()}>
      <label for="q">Name, EAN, place or id</label>
      <input
        id="q"
        type="search"
        autoComplete="off"
        spellcheck={false}
        placeholder="Mechelen, 5414…, ant_001"
        defaultValue={text}
        onInput={({ currentTarget }) => {
          clearTimeout(timer);
          timer = setTimeout(() => setQuery({ q: currentTarget.value, place: '', region: '', provider: '' }), 200);
        }}
      />
    </form>
  );
}

export function HomesTable({ homes }: { homes: HomeSummary[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Homes, a table that can be scrolled">
      <table>
        <thead>
          <tr>
            <th scope="col">Home</th>
            <th scope="col">Place</th>
            <th scope="col" class="number">
              Production
            </th>
            <th scope="col" class="number">
              Consumption
            </th>
            <th scope="col" class="number">
              Grid
            </th>
            <th scope="col">Provider</th>
            <th scope="col" class="number">
              Saved
            </th>
          </tr>
        </thead>
        <tbody>
          {homes.map((one) => (
            <Row key={one.home.home_id} one={one} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ one }: { one: HomeSummary }) {
  pulse.value;
  const { home, latest } = one;
  const now =
    live.get(home.home_id)?.now ??
    (latest && { production: latest.production_w, consumption: latest.consumption_w, grid: latest.grid_w });
  return (
    <tr>
      <th scope="row">
        <a href={`/homes/${home.home_id}`}>{home.name}</a>
        <span class="muted id">{home.home_id}</span>
      </th>
      <td>
        {home.city} <span class="muted">{regionName(home.region)}</span>
      </td>
      <td class="number">{now ? power(now.production) : '–'}</td>
      <td class="number">{now ? power(now.consumption) : '–'}</td>
      <td class={`number ${now && now.grid < 0 ? 'gives' : now && now.grid > 0 ? 'takes' : ''}`}>
        {now ? power(now.grid) : '–'}
      </td>
      <td>{one.provider_id && <ProviderLink id={one.provider_id} />}</td>
      <td class="number">{euro(one.savings)}</td>
    </tr>
  );
}

/** All places with homes, by region. */
function Places() {
  const places = useMemo(() => signal<Place[] | undefined>(undefined), []);
  const failed = useMemo(() => signal<ApiError | undefined>(undefined), []);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void =>
      void everyPlace().then(
        (found) => ([places.value, failed.value] = [found, undefined]),
        (error: unknown) => {
          failed.value = error as ApiError;
          timer = setTimeout(look, AGAIN_MS);
        },
      );
    look();
    return () => clearTimeout(timer);
  }, []);
  const chosen = query.value.get('place') ?? '';
  const regions = [...new Set(places.value?.map((place) => place.region))].sort();
  return (
    <Card title="Places">
      {places.value === undefined && <State busy error={failed.value} />}
      <div class="places">
        {regions.map((region) => (
          <details
            key={region}
            open={
              query.value.get('region') === region ||
              places.value?.some((one) => one.city === chosen && one.region === region) ||
              regions.length === 1 ||
              WIDE.matches
            }
          >
            <summary>
              {regionName(region)}{' '}
              <span class="muted">
                {count(
                  places.value?.filter((one) => one.region === region).reduce((sum, one) => sum + one.homes, 0) ?? 0,
                )}
              </span>
            </summary>
            <ul>
              <li>
                <a
                  href={`/homes?region=${region}`}
                  aria-current={query.value.get('region') === region ? 'true' : undefined}
                >
                  All of {regionName(region)}
                </a>
              </li>
              {places.value
                ?.filter((one) => one.region === region)
                .map((one) => (
                  <li key={one.city}>
                    <a
                      href={`/homes?${new URLSearchParams({ place: one.city })}`}
                      aria-current={one.city === chosen ? 'true' : undefined}
                    >
                      {one.city}
                    </a>
                    <span class="muted">{one.homes}</span>
                  </li>
                ))}
            </ul>
          </details>
        ))}
        <a href="/homes" class="all">
          All homes
        </a>
      </div>
    </Card>
  );
}

async function everyPlace(): Promise<Place[]> {
  const found: Place[] = [];
  for (let cursor = ''; ;) {
    const page = await ask<{ locations: Place[]; next_cursor: string }>(
      queryOf('get_locations', { page_size: 100, cursor }),
    );
    found.push(...page.locations);
    cursor = page.next_cursor;
    if (cursor === '') return found;
  }
}
