import { describe, expect, it } from 'vitest';
import { ean, energy, euro, isoDay, perKwh, power, span } from '../src/format.js';
import { Means } from '../src/live/means.js';
import { within, type Series } from '../src/pages/series.js';
import { bounds, middle, rings } from '../src/map/geometry.js';

const DAY = 86_400;

describe('numbers', () => {
  it('have three figures and the unit that fits', () => {
    expect([0, 940, 999.6, 3_420, 12_100, 123_456, 2_500_000].map(power)).toEqual([
      '0 W',
      '940 W',
      '1.00 kW',
      '3.42 kW',
      '12.1 kW',
      '123 kW',
      '2.50 MW',
    ]);
    expect(energy(-1_500)).toBe('-1.50 kWh');
  });

  it('of money are to the cent while cents matter, and never minus nothing', () => {
    expect([0.1 + 0.2, -0, -0.001, 12_345.6].map(euro)).toEqual(['€0.30', '€0.00', '€0.00', '€12,346']);
    expect(perKwh(0.1335)).toBe('13.35 ct/kWh');
  });

  it('of meters can be read aloud', () => {
    expect(ean('541448860000000028')).toBe('54 1448 8600 0000 0028');
    expect([900, 7_200, 4 * DAY].map(span)).toEqual(['15 min', '2 h', '4 days']);
  });

  it('of days are those of Belgium', () => {
    expect(isoDay(Date.parse('2024-12-31T23:00:00Z') / 1000)).toBe('2025-01-01');
    expect(isoDay(Date.parse('2025-06-30T22:00:00Z') / 1000)).toBe('2025-07-01');
  });
});

describe('means of 24 hours', () => {
  it('are right whatever readings were left out', () => {
    // 100 W of sun and 400 W of load all the time, but 1 kW of load in the first hour.
    const at = (hour: number): [number, number, number, number] => [
      hour * 3_600,
      hour * 100,
      hour * 400 + Math.min(hour, 1) * 600,
      hour * 300 + Math.min(hour, 1) * 600,
    ];
    const [all, some] = [new Means(), new Means()];
    for (let quarter = 0; quarter <= 4 * 30; quarter++) {
      all.add(...at(quarter / 4));
      if (quarter % 13 === 0 || quarter === 120) some.add(...at(quarter / 4));
    }
    for (const means of [all, some]) {
      const mean = means.mean;
      expect(mean?.production).toBeCloseTo(100);
      expect(mean?.consumption).toBeCloseTo(400);
      expect(mean?.grid).toBeCloseTo(300);
      expect(mean?.seconds).toBeGreaterThanOrEqual(DAY);
      expect(mean?.seconds).toBeLessThan(DAY + 4 * 3_600);
    }
  });

  it('need two readings', () => {
    const means = new Means();
    expect(means.mean).toBeUndefined();
    means.add(900, 1, 2, 3);
    expect(means.mean).toBeUndefined();
    means.add(1_800, 101, 202, 3);
    expect(means.mean).toEqual({ production: 400, consumption: 800, grid: 0, seconds: 900 });
    means.clear();
    expect(means.mean).toBeUndefined();
  });
});

describe('the curve of the totals', () => {
  const hours = Array.from({ length: 73 }, (_, hour) => hour);
  const series: Series = {
    run: 1,
    time: hours.map((hour) => hour * 3_600),
    production_w: hours.map((hour) => (hour % 24 === 12 ? 2_400 : 0)),
    consumption_w: hours.map(() => 500),
    production_wh: hours.map((hour) => Math.floor((hour + 12) / 24) * 2_400),
    consumption_wh: hours.map((hour) => hour * 500),
  };

  it('is what was measured at low speeds', () => {
    const [time, consumption, production] = within(series, '1', false);
    expect(time).toHaveLength(25);
    expect([consumption?.[0], Math.max(...(production as number[]))]).toEqual([500, 2_400]);
  });

  it('is the mean of the day before at high speeds', () => {
    const [time, consumption, production] = within(series, 'all', true);
    expect(time).toHaveLength(73);
    expect(consumption?.slice(0, 13).every((value) => value === null)).toBe(true);
    expect(consumption?.slice(13).every((value) => value === 500)).toBe(true);
    expect(production?.slice(24).every((value) => value === 100)).toBe(true);
    expect(production?.[0]).toBeNull();
  });
});

describe('outlines', () => {
  // A square of 80 with a hole in its upper half.
  const path = 'M10,10l80,0 0,80-80,0zM20,20l60,0 0,20-60,0z';

  it('are read as they are written', () => {
    expect(rings('M2,3l1-1-4,0z')).toEqual([
      [
        [2, 3],
        [3, 2],
        [-1, 2],
      ],
    ]);
    expect(bounds([path, 'M0,50l1,1z'])).toEqual({ left: 0, top: 10, right: 90, bottom: 90 });
  });

  it('have a place for a name within, and away from other names', () => {
    const [x, y] = middle(path);
    expect(y).toBeGreaterThan(40);
    expect(x).toBeGreaterThan(10);
    const [otherX, otherY] = middle(path, [[x, y]]);
    expect(Math.hypot(otherX - x, otherY - y)).toBeGreaterThan(5);
  });
});
