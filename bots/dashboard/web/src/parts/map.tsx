// The municipalities of the three regions, coloured by what their homes take from the grid or give to it.

import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { power, regionName, span } from '../format.js';
import { beat, fast, homes } from '../live/store.js';
import { go } from '../router.js';
import source from '../map/belgium.json?url';
import { bounds, middle, type Point } from '../map/geometry.js';

interface Outlines {
  width: number;
  height: number;
  country: string;
  provinces: string;
  brussels: string;
  regions: { region: string; path: string }[];
  municipalities: { nis: number; name: string; region: string; path: string }[];
}

/** What the homes of a municipality do together, W. */
export interface Balance {
  homes: number;
  net: number;
  production: number;
  consumption: number;
}

const outlines = signal<Outlines | undefined>(undefined);
let asked = false;

/** By municipality: at this moment, or the mean of the last 24 hours where a day passes in seconds. */
export function balances(): { places: Map<string, Balance>; regions: Map<string, Balance>; seconds: number } {
  const [places, regions] = [new Map<string, Balance>(), new Map<string, Balance>()];
  let seconds = 0;
  const add = (to: Map<string, Balance>, key: string, net: number, production: number, consumption: number): void => {
    const known = to.get(key) ?? { homes: 0, net: 0, production: 0, consumption: 0 };
    to.set(key, {
      homes: known.homes + 1,
      net: known.net + net,
      production: known.production + production,
      consumption: known.consumption + consumption,
    });
  };
  for (const home of homes.values()) {
    if (!home.now || home.city === '') continue;
    const mean = fast.value ? home.means.mean : undefined;
    if (mean) seconds = Math.max(seconds, mean.seconds);
    const { grid, production, consumption } = mean ?? home.now;
    add(places, home.city, grid, production, consumption);
    add(regions, home.region, grid, production, consumption);
  }
  return { places, regions, seconds };
}

/** Limits between the colours, W of net import per home; the seed of the legend too. */
export const LIMITS = [-1000, -400, -100, 100, 400, 1000] as const;

/** Which colour: 0 gives most, 6 takes most. */
export function shade(perHome: number): number {
  return LIMITS.filter((limit) => perHome >= limit).length;
}

export function BelgianMap() {
  const [chosen, choose] = useState<string | undefined>(undefined);
  useEffect(() => {
    if (asked) return;
    asked = true;
    fetch(source)
      .then((response) => response.json() as Promise<Outlines>)
      .then((read) => (outlines.value = read))
      .catch(() => (asked = false));
  }, []);
  beat.value;
  const { places, regions, seconds } = balances();
  const shapes = outlines.value;
  if (!shapes) return <div class="map empty" />;
  const { view } = placesOf(shapes);
  const shown = chosen !== undefined ? shapes.municipalities.find((one) => one.name === chosen) : undefined;
  return (
    <div class="map">
      <svg viewBox={view} role="group" aria-label="Map of the municipalities by net balance">
        <path class="country" d={shapes.country} />
        <path class="provinces" d={shapes.provinces} />
        {shapes.regions.map(({ region, path }) => (
          <path key={region} class={`ground ${groundOf(regions.get(region))}`} d={path} />
        ))}
        <g onMouseLeave={() => choose(undefined)}>
          {shapes.municipalities.map(({ nis, name, path }) => (
            <Municipality key={nis} name={name} path={path} balance={places.get(name)} onChoose={choose} />
          ))}
        </g>
        {shapes.regions.map(({ region, path }) => (
          <path key={region} class="region" d={path} />
        ))}
        {shown && <path class="chosen" d={shown.path} />}
        <Names shapes={shapes} />
      </svg>
      <Locator shapes={shapes} />
      <div class="told" aria-live="off">
        {shown ? (
          <Told name={shown.name} region={shown.region} balance={places.get(shown.name)} />
        ) : (
          <span class="muted">Point at a municipality, or choose one for its homes.</span>
        )}
      </div>
      <Legend />
      {fast.value && seconds > 0 && (
        <p class="muted basis">
          Means of the last {span(Math.min(seconds, 86_400))}: at this speed a day passes in{' '}
          {seconds > 0 ? 'about a second' : ''}.
        </p>
      )}
    </div>
  );
}

function Municipality({
  name,
  path,
  balance,
  onChoose,
}: {
  name: string;
  path: string;
  balance: Balance | undefined;
  onChoose: (name: string) => void;
}) {
  if (!balance) return <path d={path} class="none" onMouseEnter={() => onChoose(name)} />;
  const perHome = balance.net / balance.homes;
  const to = `/homes?${new URLSearchParams({ place: name })}`;
  return (
    <a
      href={to}
      class="municipality"
      aria-label={`${name}: ${balance.homes} homes, ${wording(perHome)} each`}
      onFocus={() => onChoose(name)}
      onClick={(event) => {
        event.preventDefault();
        go(to);
      }}
    >
      <path
        d={path}
        class={`shade-${shade(perHome)}`}
        data-city={name}
        data-net={Math.round(balance.net)}
        data-homes={balance.homes}
        onMouseEnter={() => onChoose(name)}
      />
    </a>
  );
}

/** A region has the colour of the mean of its homes, faintly. */
function groundOf(balance: Balance | undefined): string {
  return balance ? `shade-${shade(balance.net / balance.homes)}` : 'none';
}

function wording(watts: number): string {
  return watts >= 0 ? `${power(watts)} taken from the grid` : `${power(-watts)} given to the grid`;
}

function Told({ name, region, balance }: { name: string; region: string; balance: Balance | undefined }) {
  return (
    <>
      <strong>{name}</strong> <span class="muted">{regionName(region)}</span>
      {balance ? (
        <span>
          {balance.homes} {balance.homes === 1 ? 'home' : 'homes'}: {wording(balance.net / balance.homes)} each
        </span>
      ) : (
        <span class="muted">No home of this world is here.</span>
      )}
    </>
  );
}

function Legend() {
  return (
    <div class="legend">
      <span class="end">gives</span>
      <div
        class="scale"
        role="img"
        aria-label="Colours: net power of a home, from giving more than 1 kW to taking more than 1 kW"
      >
        {[...LIMITS, undefined].map((_limit, index) => (
          <span key={index} class={`swatch shade-${index}`} />
        ))}
        {LIMITS.map((limit, index) => (
          <span key={index} class="mark">
            {power(Math.abs(limit)).replace(/\.0+(?= )/, '')}
          </span>
        ))}
      </div>
      <span class="end">takes</span>
      <span class="muted">mean of a home</span>
    </div>
  );
}

/** Names of regions and cities. */
function Names({ shapes }: { shapes: Outlines }) {
  const places = placesOf(shapes);
  return (
    <g class="names" aria-hidden="true">
      {places.regions.map(([region, [x, y]]) => (
        <text key={region} class="area" x={x} y={y}>
          {regionName(region)}
        </text>
      ))}
      {places.cities.map(([name, [x, y]]) => (
        <text key={name} class="city" x={x} y={y}>
          {name}
        </text>
      ))}
    </g>
  );
}

/** The whole country, small, so that nobody is lost. */
function Locator({ shapes }: { shapes: Outlines }) {
  return (
    <svg class="locator" viewBox={`0 0 ${shapes.width} ${shapes.height}`} aria-hidden="true">
      <path class="country" d={shapes.country} />
      {shapes.regions.map(({ region, path }) => (
        <path key={region} class="ours" d={path} />
      ))}
    </svg>
  );
}

/** What is known of outlines once they have come. */
interface Places {
  view: string;
  regions: (readonly [region: string, at: Point])[];
  cities: (readonly [name: string, at: Point])[];
}
const known = new WeakMap<Outlines, Places>();

function placesOf(shapes: Outlines): Places {
  const before = known.get(shapes);
  if (before) return before;
  const { left, top, right, bottom } = bounds(shapes.regions.map(({ path }) => path));
  const margin = 90;
  const cities = [
    ...shapes.municipalities
      .filter(({ name }) => CITIES.has(name))
      .map(({ name, path }) => [name, middle(path)] as const),
    ['Brussels', middle(shapes.brussels)] as const,
  ];
  const taken = cities.map(([, at]) => at);
  const places: Places = {
    view: `${left - margin} ${top - margin} ${right - left + 2 * margin} ${bottom - top + 2 * margin}`,
    regions: shapes.regions.map(({ region, path }) => [region, middle(path, taken)]),
    cities,
  };
  known.set(shapes, places);
  return places;
}

/** Those by which people find their way. */
const CITIES = new Set([
  'Antwerpen',
  'Mechelen',
  'Turnhout',
  'Geel',
  'Gent',
  'Aalst',
  'Sint-Niklaas',
  'Oudenaarde',
  'Leuven',
  'Wavre',
  'Nivelles',
]);
