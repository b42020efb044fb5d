// What is known of the world at this moment. It changes as messages come; `frame` says when to look again, ten times a second
// at most, and `beat` once a second, for what is not to flicker.

import { fromBinary } from '@bufbuild/protobuf';
import { computed, signal } from '@preact/signals';
import { ContractConfirmedSchema, ContractSwitchedSchema, type Terms } from '../gen/cortexiq/v1/contract_pb.js';
import { HomeInitializedSchema, HomeMeasuredSchema } from '../gen/cortexiq/v1/home_pb.js';
import { TotalsCalculatedSchema } from '../gen/cortexiq/v1/projections_pb.js';
import { ProviderInitializedSchema } from '../gen/cortexiq/v1/provider_pb.js';
import { SimulationStateChangedSchema, TimeAdvancedSchema } from '../gen/cortexiq/v1/simulation_pb.js';
import type { Totals } from '../api.js';
import { Means } from './means.js';

/** The clock's newest tick. */
export interface Tick {
  readonly run: number;
  readonly time: number;
  readonly startTime: number;
  readonly speed: number;
  readonly paused: boolean;
}

/** A home as it was last heard of. */
export interface LiveHome {
  readonly id: string;
  name: string;
  city: string;
  region: string;
  now: LiveMeasured | undefined;
  readonly means: Means;
}

export interface LiveMeasured {
  readonly time: number;
  readonly production: number;
  readonly consumption: number;
  readonly battery: number;
  readonly grid: number;
  readonly charge: number;
  readonly registers: readonly [number, number, number, number];
  readonly tariff: number;
  readonly peak: number;
  readonly peakTime: number;
  readonly provisional: boolean;
}

/** A home that has changed its provider. */
export interface Switch {
  readonly id: string;
  readonly time: number;
  readonly home: string;
  readonly from: string;
  readonly to: string;
  readonly savings: number;
}

/** A contract as its provider confirmed it; prices in euro. */
export interface LiveContract {
  readonly id: string;
  readonly provider: string;
  readonly start: number;
  readonly end: number;
  readonly terms: Terms | undefined;
}

export const frame = signal(0);
export const beat = signal(0);
export const tick = signal<Tick | undefined>(undefined);
export const totals = signal<Totals | undefined>(undefined);
/** Newest first. */
export const switches = signal<readonly Switch[]>([]);
/** Names by id. */
export const providers = signal<ReadonlyMap<string, string>>(new Map());
/** By gateway, as each tells of itself. */
export const gateways = signal<ReadonlyMap<string, unknown>>(new Map());
/** Messages that this page was too slow for, or its feed has lost. */
export const lost = signal(0);
export const received = signal(0);

export const homes = new Map<string, LiveHome>();
export const contracts = new Map<string, LiveContract[]>();

/** Above this speed a day passes faster than anybody can look: means of 24 hours are shown. */
export const FAST = 3_600;
export const fast = computed(() => (tick.value?.speed ?? 0) > FAST);

/** Read where single values are shown: ten times a second, but once where a day passes in seconds and nobody could read them. */
export const pulse = computed(() => (fast.value ? beat.value : frame.value));

const MEASURED = 'be.cortexiq.home.measured';
const KEPT_SWITCHES = 60;
const number = (value: bigint): number => Number(value);
const nano = (value: bigint): number => Number(value) / 1e9;

let run = 0;
let pendingTick: Tick | undefined;
let pendingTotals: Totals | undefined;
let pendingSwitches: Switch[] = [];
let messages = 0;
const counts: { at: number; measured: number }[] = [];
const RATE_MS = 10_000;

/** Takes one message, whatever way it came. What is not understood is passed over, as a newer server may send it. */
export function take(topic: string, key: string, payload: Uint8Array): void {
  messages++;
  switch (topic) {
    case MEASURED:
      return onMeasured(key, payload);
    case 'be.cortexiq.simulation.time_advanced': {
      const said = fromBinary(TimeAdvancedSchema, payload);
      onRun(number(said.run));
      if (number(said.run) < run) return;
      pendingTick = {
        run,
        time: number(said.simulationTime),
        startTime: number(said.startTime),
        speed: said.speed,
        paused: said.paused,
      };
      return;
    }
    case 'be.cortexiq.simulation.state_changed': {
      const said = fromBinary(SimulationStateChangedSchema, payload);
      const known = pendingTick ?? tick.peek();
      if (known && number(said.run) === known.run)
        pendingTick = {
          ...known,
          speed: said.speed,
          paused: said.paused,
          time: Math.max(known.time, number(said.simulationTime)),
        };
      return;
    }
    case 'be.cortexiq.projections.totals_calculated':
      return onTotals(payload);
    case 'be.cortexiq.home.initialized': {
      const said = fromBinary(HomeInitializedSchema, payload);
      const home = homeOf(said.homeId);
      [home.name, home.city, home.region] = [said.name, said.city, said.region];
      return;
    }
    case 'be.cortexiq.provider.initialized': {
      const { providerId, name } = fromBinary(ProviderInitializedSchema, payload);
      if (providers.peek().get(providerId) !== name) providers.value = new Map(providers.peek()).set(providerId, name);
      return;
    }
    case 'be.cortexiq.home.contract.switched': {
      const said = fromBinary(ContractSwitchedSchema, payload);
      const one = {
        id: said.toContractId,
        time: number(said.time),
        home: said.homeId,
        from: said.fromProviderId,
        to: said.toProviderId,
        savings: nano(said.projectedSavings),
      };
      pendingSwitches.push(one);
      return;
    }
    case 'be.cortexiq.provider.contract.confirmed': {
      const said = fromBinary(ContractConfirmedSchema, payload);
      const list = (contracts.get(said.homeId) ?? []).filter((one) => one.id !== said.contractId);
      list.push({
        id: said.contractId,
        provider: said.providerId,
        start: number(said.startTime),
        end: number(said.endTime),
        terms: said.terms,
      });
      contracts.set(said.homeId, list.slice(-8));
      return;
    }
    case '$sys.mesh.state': {
      const map = new Map(gateways.peek());
      // An empty one takes back what the gateway has told.
      if (payload.length === 0) map.delete(key);
      else map.set(key, JSON.parse(new TextDecoder().decode(payload)));
      gateways.value = map;
      return;
    }
  }
}

/** Forgets what belongs to a run that is over. */
function onRun(said: number): void {
  if (said <= run) return;
  if (run !== 0) {
    homes.forEach((home) => {
      home.now = undefined;
      home.means.clear();
    });
    contracts.clear();
    pendingSwitches = [];
    switches.value = [];
    pendingTotals = undefined;
    totals.value = undefined;
  }
  run = said;
}

function onMeasured(key: string, payload: Uint8Array): void {
  const said = fromBinary(HomeMeasuredSchema, payload);
  if (number(said.run) < run) return;
  onRun(number(said.run));
  const home = homeOf(key);
  const time = number(said.time);
  if (home.now && time < home.now.time) return;
  const registers = [said.importT1Wh, said.importT2Wh, said.exportT1Wh, said.exportT2Wh].map(number);
  const [t1 = 0, t2 = 0, x1 = 0, x2 = 0] = registers;
  home.now = {
    time,
    production: said.productionW,
    consumption: said.consumptionW,
    battery: said.batteryW,
    grid: said.gridW,
    charge: said.stateOfChargePct / 10,
    registers: [t1, t2, x1, x2],
    tariff: said.tariff,
    peak: said.monthPeakW,
    peakTime: number(said.monthPeakTime),
    provisional: said.provisional,
  };
  if (!said.provisional) home.means.add(time, number(said.productionWh), number(said.consumptionWh), t1 + t2 - x1 - x2);
}

function onTotals(payload: Uint8Array): void {
  const said = fromBinary(TotalsCalculatedSchema, payload);
  if (number(said.run) < run) return;
  pendingTotals = {
    run: number(said.run),
    time: number(said.time),
    homes: said.homes,
    connected_homes: said.connectedHomes,
    providers: said.providers,
    production_w: number(said.productionW),
    consumption_w: number(said.consumptionW),
    grid_w: number(said.gridW),
    battery_w: number(said.batteryW),
    state_of_charge_pct: said.stateOfChargePct / 10,
    production_wh: number(said.productionWh),
    consumption_wh: number(said.consumptionWh),
    import_wh: number(said.importWh),
    export_wh: number(said.exportWh),
    cost: nano(said.cost),
    revenue: nano(said.revenue),
    savings: nano(said.savings),
    commission: nano(said.commission),
    contract_switches: number(said.contractSwitches),
    measured: number(said.measured),
    measured_per_second: measuredRate(number(said.measured)) ?? said.measuredPerSecond,
    events_per_second: said.eventsPerSecond,
  };
}

/** Measurements a second over the last seconds: a quarter-hour's come all at once, and then none. */
function measuredRate(measured: number): number | undefined {
  const now = performance.now();
  if (measured < (counts.at(-1)?.measured ?? 0)) counts.length = 0;
  counts.push({ at: now, measured });
  while (counts.length > 2 && now - (counts[0]?.at ?? now) > RATE_MS) counts.shift();
  const first = counts[0];
  if (first === undefined || now - first.at < 1_000) return undefined;
  return Math.round(((measured - first.measured) * 1_000) / (now - first.at));
}

function homeOf(id: string): LiveHome {
  let home = homes.get(id);
  if (home === undefined) {
    home = { id, name: '', city: '', region: '', now: undefined, means: new Means() };
    homes.set(id, home);
  }
  return home;
}

/** Shows what has come since the last time. */
function show(): void {
  if (pendingTick !== undefined) tick.value = pendingTick;
  if (pendingTotals !== undefined && pendingTotals !== totals.peek()) totals.value = pendingTotals;
  if (pendingSwitches.length > 0) {
    const known = new Set(switches.peek().map((one) => one.id));
    const fresh = pendingSwitches.filter((one) => !known.has(one.id)).reverse();
    switches.value = [...fresh, ...switches.peek()].slice(0, KEPT_SWITCHES);
    pendingSwitches = [];
  }
  if (messages > 0) {
    received.value += messages;
    messages = 0;
    frame.value++;
  }
}

const FRAME_MS = 100;
const BEAT_MS = 1_000;

/** Begins to show. */
export function start(): void {
  setInterval(show, FRAME_MS);
  let first: ReturnType<typeof setInterval> | undefined = setInterval(() => {
    // The first picture comes as soon as there is one.
    if (homes.size > 0) {
      beat.value++;
      clearInterval(first);
      first = undefined;
      setInterval(() => beat.value++, BEAT_MS);
    }
  }, FRAME_MS);
}

/** Fills the feed of switches from before this page was opened. */
export function remember(earlier: readonly Switch[]): void {
  const known = new Set(switches.peek().map((one) => one.id));
  switches.value = [...switches.peek(), ...earlier.filter((one) => !known.has(one.id))].slice(0, KEPT_SWITCHES);
}
