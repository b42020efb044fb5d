// The server's JSON API. Names are those of the proto files; numbers are numbers, money is in euro.

import type { ReadonlySignal } from '@preact/signals';
import { signal, useSignalEffect } from '@preact/signals';
import { useMemo } from 'preact/hooks';

/** Something that the server would not or could not do. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Asks the server. */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api/${path}`, { credentials: 'same-origin', ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, 'UNAVAILABLE', 'The dashboard cannot be reached.');
  }
  if (!response.ok) {
    const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
    throw new ApiError(response.status, problem.code ?? 'INTERNAL', problem.detail ?? response.statusText);
  }
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

export const post = <T>(path: string, body: unknown, method = 'POST'): Promise<T> =>
  ask<T>(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

/** A query with its arguments; what is empty is left out. */
export function queryOf(name: string, args: Record<string, string | number | undefined> = {}): string {
  const pairs = Object.entries(args).filter(([, value]) => value !== undefined && value !== '');
  const text = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
  return text ? `${name}?${text}` : name;
}

/** What a question has come to. The last answer stays while the next one is on its way. */
export interface Asked<T> {
  readonly data: T | undefined;
  readonly error: ApiError | undefined;
  readonly busy: boolean;
}

/**
 * Asks whenever the path changes, and again every so many milliseconds; an empty path asks nothing. What fails is asked
 * again by itself.
 */
export function useAsk<T>(path: () => string, everyMs = 0): ReadonlySignal<Asked<T>> {
  const asked = useMemo(() => signal<Asked<T>>({ data: undefined, error: undefined, busy: true }), []);
  useSignalEffect(() => {
    const wanted = path();
    if (wanted === '') {
      asked.value = { data: undefined, error: undefined, busy: false };
      return;
    }
    const control = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async (): Promise<void> => {
      asked.value = { ...asked.peek(), busy: true };
      let again = everyMs;
      try {
        asked.value = { data: await ask<T>(wanted, { signal: control.signal }), error: undefined, busy: false };
      } catch (error) {
        if (control.signal.aborted) return;
        const problem = error instanceof ApiError ? error : new ApiError(0, 'INTERNAL', String(error));
        asked.value = { data: asked.peek().data, error: problem, busy: false };
        // What is wrong with the question stays wrong.
        again = problem.status === 0 || problem.status >= 500 ? AGAIN_MS : everyMs;
      }
      if (again > 0 && !control.signal.aborted) timer = setTimeout(() => void run(), again);
    };
    void run();
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  });
  return asked;
}

/** After what failed. */
export const AGAIN_MS = 2_000;

export interface Totals {
  run: number;
  time: number;
  homes: number;
  connected_homes: number;
  providers: number;
  production_w: number;
  consumption_w: number;
  grid_w: number;
  battery_w: number;
  state_of_charge_pct: number;
  production_wh: number;
  consumption_wh: number;
  import_wh: number;
  export_wh: number;
  cost: number;
  revenue: number;
  savings: number;
  commission: number;
  contract_switches: number;
  measured: number;
  measured_per_second: number;
  events_per_second: number;
}
export interface Region {
  region: string;
  homes: number;
  production_w: number;
  consumption_w: number;
  grid_w: number;
  production_wh: number;
  consumption_wh: number;
  import_wh: number;
  export_wh: number;
  cost: number;
  revenue: number;
}
export interface Overview {
  totals: Totals;
  regions: Region[];
  speed: number;
  paused: boolean;
}
export interface HomeInfo {
  home_id: string;
  name: string;
  iot_provider: string;
  meter_ean: string;
  injection_ean: string;
  street: string;
  city: string;
  postal_code: string;
  region: string;
  latitude: number;
  longitude: number;
  solar_capacity_wp: number;
  solar_tilt_deg: number;
  solar_azimuth_deg: number;
  battery_capacity_wh: number;
  battery_power_w: number;
  annual_consumption_kwh: number;
  heat_pump_kwh: number;
  electric_vehicle_kwh: number;
}
export interface Measured {
  time: number;
  production_w: number;
  consumption_w: number;
  battery_w: number;
  grid_w: number;
  state_of_charge_pct: number;
  import_t1_wh: number;
  import_t2_wh: number;
  export_t1_wh: number;
  export_t2_wh: number;
  production_wh: number;
  consumption_wh: number;
  tariff: number;
  month_peak_w: number;
  month_peak_time: number;
}
export interface HomeSummary {
  home: HomeInfo;
  latest?: Measured;
  connected: boolean;
  provider_id: string;
  contract_id: string;
  contract_end_time: number;
  cost: number;
  revenue: number;
  savings: number;
  contract_switches: number;
}
export interface HomesPage {
  homes: HomeSummary[];
  next_cursor: string;
  total: number;
}
export interface HistoryPoint {
  time: number;
  production_wh: number;
  consumption_wh: number;
  import_wh: number;
  export_wh: number;
  charge_wh: number;
  discharge_wh: number;
  state_of_charge_pct: number;
  peak_w: number;
  quarter_hours: number;
}
export interface Trade {
  time: number;
  contract_id: string;
  provider_id: string;
  import_wh: number;
  export_wh: number;
  cost: number;
  revenue: number;
  import_price: number;
  export_price: number;
  left_cost: number;
  left_revenue: number;
  left_contract_id: string;
}
export interface Bill {
  month: string;
  total: number;
  savings: number;
  commission: number;
  month_peak_w: number;
  month_peak_time: number;
  final: boolean;
  lines: {
    contract_id: string;
    provider_id: string;
    import_wh: number;
    export_wh: number;
    cost: number;
    revenue: number;
    fee: number;
    minimum_charge: number;
    discount: number;
  }[];
}
export interface Place {
  city: string;
  region: string;
  homes: number;
  grid_w: number;
  production_w: number;
  consumption_w: number;
}
export interface Offer {
  time: number;
  offer_id: string;
  provider_id: string;
  contract_type: string;
  day_price: number;
  night_price: number;
  feed_in_day: number;
  feed_in_night: number;
  markup: number;
  markdown: number;
  yearly_fee: number;
  minimum_monthly_kwh: number;
  switching_discount: number;
  duration_months: number;
  valid_from: number;
  valid_until: number;
  margin_level: number;
}
export interface ProviderSummary {
  provider: { provider_id: string; name: string; region: string; strategy: string; market_share_target_pct: number };
  offer?: Offer;
  customers: number;
  market_share_pct: number;
  import_wh: number;
  export_wh: number;
  revenue: number;
  paid: number;
}
export interface ProviderDetail {
  summary: ProviderSummary;
  offers: Offer[];
  customers: { day: string; customers: number }[];
}
export interface ContractEvent {
  time: number;
  event: string;
  home_id: string;
  contract_id: string;
  provider_id: string;
  from_provider_id: string;
  projected_savings: number;
  reason: string;
  detail: string;
}
export interface Savings {
  points: { month: string; savings: number; commission: number; switches: number }[];
}
export interface Prices {
  days: { day: string; time: number; step_minutes: number; prices: number[] }[];
  next_cursor: string;
}
export interface Session {
  needs_password: boolean;
  signed_in: boolean;
  may_control: boolean;
  reason?: string | null;
}
export interface TransportInfo {
  url: string;
  realm: string;
  certificate_hashes: string[];
  problem: string | null;
}
export interface Control {
  changed: boolean;
  message: string;
  simulation_time: number;
  speed: number;
  paused: boolean;
  run: number;
}
