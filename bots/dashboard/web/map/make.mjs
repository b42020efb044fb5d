// Makes `src/map/belgium.json`: the municipalities of the three regions as paths, and the rest of the country around them.
//
//     node map/make.mjs be-municip-lamberts.geo.json municipalities.json > src/map/belgium.json
//
// README.md beside this file says where the two come from.

import { readFileSync } from 'node:fs';
import { merge, mesh } from 'topojson-client';
import { topology } from 'topojson-server';
import { presimplify, quantile, simplify } from 'topojson-simplify';

/** Metres in a unit of the paths: finer than a pixel on any screen. */
const UNIT = 50;
/** Share of the points that stays. */
const KEPT = 0.16;

/** Municipalities that were merged: the new code, and those of which it is made. Statbel, 1 January 2019 and 2025. */
const MERGED = {
  44084: [44001, 44029],
  44083: [44011, 44049],
  45068: [45017, 45057],
  44085: [44036, 44072, 44080],
  12041: [12030, 12034],
  11002: [11002, 11007],
  46030: [46003, 46013, 11056],
  44087: [44034, 44073],
  46029: [46014, 44045],
  44088: [44043, 44040],
  44086: [44048, 44012],
  23106: [23023, 23024, 23032],
};
const PROVINCES = { 10000: 'antwerp', 20001: 'brabant', 20002: 'brabant', 40000: 'east-flanders' };

const [shapes, names] = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, 'utf8')));
const today = new Map(Object.entries(MERGED).flatMap(([code, parts]) => parts.map((part) => [part, Number(code)])));
const known = new Map(names.map((one) => [Number(one.id), one]));

for (const feature of shapes.features) {
  const nis = today.get(feature.properties.NIS5) ?? feature.properties.NIS5;
  feature.properties = { nis, region: PROVINCES[known.get(nis)?.province] ?? '' };
}
const full = presimplify(topology({ places: shapes }, 1e6));
const topo = simplify(full, quantile(full, 1 - KEPT));
const all = topo.objects.places.geometries;

const [left, bottom, right, top] = bounds(topo.bbox ?? shapes);
const point = ([x, y]) => [Math.round((x - left) / UNIT), Math.round((top - y) / UNIT)];

const groups = grouped(
  all.filter((place) => place.properties.region),
  (place) => place.properties.nis,
);
const municipalities = [...groups].map(([nis, parts]) => {
  const { name, province } = known.get(nis);
  const language = province === '20002' ? 'fr' : 'nl';
  const shape = merge(topo, parts);
  return { nis, name: name[language].replaceAll('’', "'"), region: PROVINCES[province], path: path(shape) };
});
const expected = names.filter((one) => PROVINCES[one.province]).map((one) => Number(one.id));
const missing = expected.filter((nis) => !groups.has(nis));
if (missing.length > 0 || municipalities.length !== expected.length)
  throw new Error(`not as Statbel has them: ${missing}`);

const regions = [...grouped(municipalities, (one) => one.region).keys()].map((region) => {
  const parts = all.filter((place) => place.properties.region === region);
  return { region, path: path(merge(topo, parts)) };
});
const country = path(merge(topo, all));
const brussels = path(
  merge(
    topo,
    all.filter((place) => Math.floor(place.properties.nis / 1000) === 21),
  ),
);
/** Borders of provinces outside the regions. */
const provinces = lines(
  mesh(
    topo,
    topo.objects.places,
    (a, b) => a !== b && province(a) !== province(b) && !(a.properties.region && b.properties.region),
  ),
);

municipalities.sort((a, b) => a.nis - b.nis);
process.stdout.write(
  `${JSON.stringify({
    source:
      'Statbel, statistical sectors (CC BY 4.0), dissolved to municipalities by mathiasleroy/belgium-geographic-data; names Statbel (CC BY 4.0)',
    width: Math.round((right - left) / UNIT),
    height: Math.round((top - bottom) / UNIT),
    country,
    provinces,
    brussels,
    regions,
    municipalities,
  })}\n`.replaceAll('},{', '},\n{'),
);

function grouped(list, key) {
  const groups = new Map();
  for (const one of list) groups.set(key(one), [...(groups.get(key(one)) ?? []), one]);
  return groups;
}

function province(place) {
  const prefix = Math.floor(place.properties.nis / 1000);
  return prefix < 20 ? 1 : prefix === 21 ? 21 : prefix === 25 ? 25 : Math.floor(prefix / 10);
}

function bounds(source) {
  if (Array.isArray(source)) return source;
  const points = source.features.flatMap((feature) => feature.geometry.coordinates.flat(Infinity));
  const [xs, ys] = [0, 1].map((side) => points.filter((_, index) => index % 2 === side));
  const edge = (choose, values) => values.reduce((a, b) => choose(a, b));
  return [edge(Math.min, xs), edge(Math.min, ys), edge(Math.max, xs), edge(Math.max, ys)];
}

function path(shape) {
  const polygons = shape.type === 'Polygon' ? [shape.coordinates] : shape.coordinates;
  return polygons.flatMap((polygon) => polygon.map((ring) => line(ring, true))).join('');
}

function lines(shape) {
  return shape.coordinates.map((one) => line(one, false)).join('');
}

/** Points as a path of relative steps; a ring too small to be seen is none. */
function line(points, closed) {
  const places = points
    .map(point)
    .filter(([x, y], index, list) => index === 0 || x !== list[index - 1][0] || y !== list[index - 1][1]);
  if (closed) places.pop();
  if (places.length < (closed ? 3 : 2)) return '';
  const [[x, y], ...rest] = places;
  let [lastX, lastY] = [x, y];
  const steps = rest.map(([x, y]) => {
    const step = `${x - lastX},${y - lastY}`;
    [lastX, lastY] = [x, y];
    return step;
  });
  return `M${x},${y}l${steps.join(' ').replaceAll(' -', '-').replaceAll(',-', '-')}${closed ? 'z' : ''}`;
}
