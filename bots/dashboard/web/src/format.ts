// Numbers and times as people read them.

const ZONE = 'Europe/Brussels';
const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat('en-GB', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const two = new Intl.NumberFormat('en-GB', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const toTheCent = new Intl.NumberFormat('en-GB', { style: 'currency', currency: 'EUR' });
const euros = new Intl.NumberFormat('en-GB', { style: 'currency', currency: 'EUR', maximumFractionDigits: 0 });
const day = new Intl.DateTimeFormat('en-GB', {
  timeZone: ZONE,
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
});
const clock = new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, hour: '2-digit', minute: '2-digit' });
const moment = new Intl.DateTimeFormat('en-GB', {
  timeZone: ZONE,
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
});
const iso = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, year: 'numeric', month: '2-digit', day: '2-digit' });

export const count = (value: number): string => whole.format(value);

/** Three figures and a unit: 940 W, 3.42 kW, 12.1 MW. */
export function scaled(value: number, unit: string): string {
  const size = Math.abs(value);
  for (const [limit, prefix] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    // What rounds up to the next unit is shown in it.
    if (size >= limit * 0.9995) {
      const number = value / limit;
      return `${Math.abs(number) >= 99.95 ? whole.format(number) : Math.abs(number) >= 9.995 ? one.format(number) : two.format(number)} ${prefix}${unit}`;
    }
  }
  return `${whole.format(value)} ${unit}`;
}

export const power = (watts: number): string => scaled(watts, 'W');
export const energy = (wattHours: number): string => scaled(wattHours, 'Wh');

/** To the cent while cents matter. */
export const euro = (value: number): string =>
  (Math.abs(value) < 10_000 ? toTheCent : euros).format(Math.abs(value) < 0.005 ? 0 : value);

/** A price in cents. */
export const cents = (euros: number): string => two.format(euros * 100);
/** A price of a kWh in cents. */
export const perKwh = (euros: number): string => `${cents(euros)} ct/kWh`;

export const percent = (value: number): string => `${one.format(value)} %`;

/** The parts of a date, for where there is not room for all. */
export const partsOf = (time: number): { weekday: string; day: string; year: string } => {
  const [weekday = '', rest = ''] = day.format(time * 1000).split(', ');
  const [number = '', month = '', year = ''] = rest.split(' ');
  return { weekday, day: `${number} ${month}`, year };
};
export const dateOf = (time: number): string => day.format(time * 1000);
export const clockOf = (time: number): string => clock.format(time * 1000);
export const momentOf = (time: number): string => moment.format(time * 1000);
/** `2025-01-31` in Belgium. */
export const isoDay = (time: number): string => iso.format(time * 1000);

/** `hub`, `antwerp`, `East Flanders`: a region as people write it. */
export function regionName(region: string): string {
  return region
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join(' ');
}

/** An EAN in groups that can be read aloud. */
export const ean = (text: string): string => text.replace(/(\d{2})(\d{4})(\d{4})(\d{4})(\d{4})/, '$1 $2 $3 $4 $5');

/** How long ago, in whole units of simulated time. */
export function span(seconds: number): string {
  const hours = seconds / 3600;
  if (hours < 1) return `${Math.round(seconds / 60)} min`;
  if (hours < 48) return `${Math.round(hours)} h`;
  return `${Math.round(hours / 24)} days`;
}
